"""The legacy system as files: six sources, written line by line, with all defects noted down."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, tzinfo
from pathlib import Path
from typing import Final

from custody.demo.agreements import CONSENT_COLUMNS
from custody.demo.expect import Expected, Planted, expect
from custody.demo.layout import lay_out
from custody.demo.lines import (
    BRANCH,
    CONSENTS,
    CUSTOMERS,
    ENQUIRIES,
    PROFILES,
    TRANSACTIONS,
    Line,
    lines_of,
)
from custody.demo.people import World, require_playable
from custody.demo.rows import (
    CUSTOMER_COLUMNS,
    ENQUIRY_COLUMNS,
    PROFILE_COLUMNS,
    TRANSACTION_COLUMNS,
)
from custody.demo.table import load_table
from custody.demo.writers import CsvWriter, Writer, XlsxWriter

SOURCES: Final = (CONSENTS, CUSTOMERS, BRANCH, TRANSACTIONS, ENQUIRIES, PROFILES)
"""All sources in the order in which they are to be ingested: consents first."""

# Encodings as legacy systems have them: the national one with rare characters, UTF-8 with and
# without a mark.
_CSV: Final[Mapping[str, tuple[str, Mapping[str, str], str]]] = {
    CONSENTS: ("consents.csv", CONSENT_COLUMNS, "utf-8-sig"),
    CUSTOMERS: ("customers.csv", CUSTOMER_COLUMNS, "gb18030"),
    TRANSACTIONS: ("transactions.csv", TRANSACTION_COLUMNS, "gb18030"),
    ENQUIRIES: ("enquiries.csv", ENQUIRY_COLUMNS, "utf-8"),
    PROFILES: ("profiles.csv", PROFILE_COLUMNS, "utf-8"),
}
_WORKBOOK: Final = "branch_customers.xlsx"
_SHEET_TITLE: Final = "客户登记表"


@dataclass(frozen=True, kw_only=True, slots=True)
class Legacy:
    """What was written, and what must come of it.

    Attributes:
        paths: The file of each source, in the order in which they are to be ingested.
        planted: Every row with a defect.
        expected: The codes of each of them, and the totals.
    """

    folder: Path
    paths: Mapping[str, Path]
    planted: tuple[Planted, ...]
    expected: Expected


def build_legacy(folder: Path, *, customers: int, seed: int, today: date, zone: tzinfo) -> Legacy:
    """Write the legacy system of so many synthetic people into ``folder``.

    Args:
        folder: Made with mode 0700 where it is missing; must hold none of the files yet.
        customers: How many people there are, in head office and branch together.
        seed: What everything follows from: the same seed and day give the same rows.
        today: The demo's day; everything happened before it.
        zone: The zone of the legacy system's clocks.

    Raises:
        UsageError: There are too few customers, or the day is too early.
    """
    require_playable(today)
    world, table = World(seed=seed, today=today, zone=zone), load_table()
    layout = lay_out(world, table, customers)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = _paths(folder)
    with ExitStack() as stack:
        script = _Script({name: stack.enter_context(_open(paths, name)) for name in SOURCES})
        for index in range(customers):
            for line in lines_of(world, layout, table, index):
                script.add(line)
        script.end()
    rows = {source: script.rows[source] for source in SOURCES if source != CONSENTS}
    expected = expect(table, script.planted, rows, script.unchanged, script.level_raised)
    return Legacy(folder=folder, paths=paths, planted=tuple(script.planted), expected=expected)


def _paths(folder: Path) -> dict[str, Path]:
    names = {source: name for source, (name, _, _) in _CSV.items()} | {BRANCH: _WORKBOOK}
    return {source: folder / names[source] for source in SOURCES}


def _open(paths: Mapping[str, Path], source: str) -> Writer:
    path = paths[source]
    path.touch(mode=0o600, exist_ok=False)
    if source == BRANCH:
        return XlsxWriter(path, CUSTOMER_COLUMNS, _SHEET_TITLE)
    _, columns, encoding = _CSV[source]
    return CsvWriter(path, columns, encoding)


@dataclass(slots=True)
class _Script:
    """The lines on their way into the files, and what is noted of them."""

    writers: Mapping[str, Writer]
    late: list[Line] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    level_raised: int = 0

    def add(self, line: Line) -> None:
        """Write the line now, or keep it for the end."""
        if line.late:
            self.late.append(line)
        else:
            self._write(line)

    def end(self) -> None:
        """Write what was kept for the end."""
        for line in self.late:
            self._write(line)

    def _write(self, line: Line) -> None:
        number = self.writers[line.source].write(line.values, line.kinds)
        if line.source == CONSENTS:
            return
        self.rows[line.source] = number
        self.unchanged[line.source] += line.repeats
        self.level_raised += line.raises_level
        if line.kinds:
            self.planted.append(Planted(source=line.source, row_number=number, kinds=line.kinds))
