"""A file of one row, taken in and stored through the flows as ``custody ingest FILE`` does it.

What is measured is what a small load costs whatever its size: two flow runs with their steps,
transactions and entries. The process is one that already did another file, so Prefect and Great
Expectations are loaded, and the embedded Prefect server runs. It is a process of its own, for
whoever becomes a client of Prefect's server changes its environment for good.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import legacy
from benchmarks.ground import ground
from benchmarks.measure import Meter
from benchmarks.table import Row
from custody.cli.ingest import take_in
from custody.cli.manner import Manner, speak
from custody.cli.session import opened_with_prefect
from custody.embedded.processes import without

FEWEST: Final = 3
_SECONDS: Final = 4


def one_row(repeat: int) -> list[Row]:
    """Measure taking in a file of one row so many times, three at least."""
    times = max(repeat, FEWEST)
    with ground() as made, tempfile.TemporaryDirectory(prefix="cus-bench-") as folder:
        legacy.give_consents(made, 0, 1 + times)
        files = [Path(folder) / f"{number}.csv" for number in range(1 + times)]
        for number, file in enumerate(files):
            legacy.write_customers(made, file, number, 1)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return [row_of(pool.submit(_take_in_each, made.postgres.home.path, files).result())]


def row_of(seconds: Sequence[float]) -> Row:
    """Return the line of the table; the first file only warmed the process up."""
    _, *walls = seconds
    return Row(
        name="ingest + store of a file of one row, warm, wall",
        value=median(walls),
        unit="s",
        target=_SECONDS,
        at_most=True,
        detail=f"{min(walls):.3g} to {max(walls):.3g}; both flows, Prefect's server running",
    )


def _take_in_each(home: Path, files: Sequence[Path]) -> list[float]:
    """Take the files in, one after the other, and return the seconds that each took."""
    kept = without(os.environ, "CUSTODY_", "PREFECT_")
    os.environ.clear()
    os.environ.update(kept, CUSTODY_HOME=str(home))
    speak(Manner(quiet=True))
    documents: list[dict[str, object]] = []
    with opened_with_prefect() as custody:
        costs = [
            Meter().measure(
                lambda file=file: documents.append(
                    take_in(custody, legacy.SOURCE, str(file), stored=True)
                )
            )
            for file in files
        ]
    if [one["stored"] for one in documents] != [1] * len(files):
        raise AssertionError("a row that is not stored measures nothing")
    return [one.wall for one in costs]
