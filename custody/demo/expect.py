"""What custody must answer to the legacy system: computed from what was planted and the table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from custody.demo.table import Table

Refusals = Mapping[str, Mapping[int, frozenset[str]]]
"""By source and row number, the codes a row is refused with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """A row with defects.

    Attributes:
        row_number: The place among the source's data rows, from 1.
    """

    source: str
    row_number: int
    kinds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTotals:
    """What must be counted of one source.

    Attributes:
        rows: The data rows of the file.
        unchanged: Exact repeats; they are outside ``read``.
    """

    rows: int
    read: int
    accepted: int
    refused: int
    unchanged: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What must be counted of the whole legacy system, consents aside.

    Attributes:
        level_raised: Accepted rows in which detection finds more than the catalogue declares.
    """

    sources: Mapping[str, SourceTotals]
    refusals: Refusals
    level_raised: int

    @property
    def read(self) -> int:
        """Return the rows read, over all sources."""
        return sum(one.read for one in self.sources.values())

    @property
    def accepted(self) -> int:
        """Return the rows accepted, over all sources."""
        return sum(one.accepted for one in self.sources.values())

    @property
    def refused(self) -> int:
        """Return the rows refused by ingest or store, over all sources."""
        return sum(one.refused for one in self.sources.values())

    @property
    def unchanged(self) -> int:
        """Return the exact repeats, over all sources."""
        return sum(one.unchanged for one in self.sources.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that custody answered otherwise than the table says; empty codes mean accepted."""

    source: str
    row_number: int
    expected: frozenset[str]
    reported: frozenset[str]


def expect(
    table: Table,
    planted: Iterable[Planted],
    rows: Mapping[str, int],
    unchanged: Mapping[str, int],
    level_raised: int,
) -> Expected:
    """Return what must be answered to files of ``rows`` data rows with ``planted`` among them."""
    refusals: dict[str, dict[int, frozenset[str]]] = {source: {} for source in rows}
    for one in planted:
        refusals[one.source][one.row_number] = table.codes(one.kinds)
    return Expected(
        sources={
            source: _totals(count, unchanged.get(source, 0), refusals[source].values())
            for source, count in rows.items()
        },
        refusals=refusals,
        level_raised=level_raised,
    )


def differences(expected: Refusals, reported: Refusals) -> tuple[Difference, ...]:
    """Return every row on which table and report disagree, by source and row number.

    Args:
        expected: As :attr:`Expected.refusals`.
        reported: The refused rows as custody reports them.
    """
    none: frozenset[str] = frozenset()
    return tuple(
        Difference(source=source, row_number=row, expected=wanted, reported=found)
        for source in sorted({*expected, *reported})
        for row in sorted({*expected.get(source, {}), *reported.get(source, {})})
        for wanted in [expected.get(source, {}).get(row, none)]
        for found in [reported.get(source, {}).get(row, none)]
        if wanted != found
    )


def _totals(rows: int, unchanged: int, refused: Iterable[frozenset[str]]) -> SourceTotals:
    codes = list(refused)
    read = rows - unchanged
    return SourceTotals(
        rows=rows,
        read=read,
        accepted=read - len(codes),
        refused=len(codes),
        unchanged=unchanged,
        reasons=dict(sorted(Counter(code for row in codes for code in row).items())),
    )
