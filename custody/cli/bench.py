"""``custody bench``: the figures of the README, measured here and now."""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.output import note, show

if TYPE_CHECKING:
    from benchmarks.table import Row


_WHOLE_FROM: Final = 1000


class What(StrEnum):
    """What can be measured."""

    ALL = "all"
    INGEST = "ingest"
    SEAL = "seal"
    READ = "read"
    PURGE = "purge"
    KEYS = "keys"
    REKEY = "rekey"
    LEDGER = "ledger"


def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")] = What.ALL,
    *,
    customers: Annotated[
        int, typer.Option(min=1000, help="How many customers to measure on.")
    ] = 100_000,
    repeat: Annotated[int, typer.Option(min=1, help="How often; medians are shown.")] = 3,
    to: Annotated[Path | None, typer.Option(help="A JSON file to write the figures to.")] = None,
    plot: Annotated[Path | None, typer.Option(help="An SVG file to draw the figures in.")] = None,
) -> None:
    """Measure speed on a private server of its own, side by side with what it is compared to.

    Nothing of an installation is used or touched.
    """
    note("measuring")
    rows = _measure(what, customers, repeat)
    document: dict[str, object] = {
        "customers": customers,
        "repeat": repeat,
        **_circumstances(),
        "rows": [{**asdict(row), "holds": row.holds} for row in rows],
    }
    if to is not None:
        to.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if plot is not None:
        from benchmarks.plot import plot as drawn

        plot.write_text(drawn(rows, f"custody bench {what}, {customers:,} customers"), "utf-8")
    show(document | {"rows": [_shown(row) for row in rows]}, "measured")


def _circumstances() -> dict[str, object]:
    """Return what the figures depend on: the code, the checks, the machine."""
    from benchmarks.ground import demo_policy
    from custody.embedded.binaries import major_version

    return {
        "commit": _commit(),
        "policy": demo_policy().digest,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": major_version(),
    }


def _commit() -> str:
    """Return the commit of the checkout, ``+`` behind it where files were changed; else nothing."""
    git = shutil.which("git")
    if git is None:
        return ""
    asked = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()  # noqa: S603


def _measure(what: What, customers: int, repeat: int) -> "list[Row]":
    from benchmarks import ledger, loads, rows
    from benchmarks.ground import ground

    match what:
        case What.SEAL:
            return rows.seals(repeat)
        case What.ALL:
            return rows.all_of(customers, repeat)
        case What.INGEST:
            return loads.loads(customers, repeat)
        case What.LEDGER:
            return ledger.ledger(repeat)
        case What.READ | What.PURGE:
            return [row for row in loads.later(repeat) if row.name.startswith(what)]
    with ground() as made:
        return {What.KEYS: rows.keys, What.REKEY: rows.rekeys}[what](made, customers, repeat)


def _shown(row: "Row") -> dict[str, object]:
    wanted = "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:g}"
    number = f"{row.value:,.0f}" if row.value >= _WHOLE_FROM else f"{row.value:.3g}"
    return {
        "measured": row.name,
        "value": f"{number} {row.unit}",
        "target": wanted,
        "holds": row.holds,
        "detail": row.detail,
    }
