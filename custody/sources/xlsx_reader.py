"""Reading XLSX workbooks row by row (docs/adr/0004-xlsx-reader.md says why with openpyxl).

Memory does not grow with the rows. It grows with the shared strings, which the format lets a
reader look up in any order, so their size is capped, as is everything else that can be inflated. A
workbook cannot be entered in the middle: reading chunk n of a reader that stands elsewhere passes
over the rows before it, while chunks asked for in order are each read once.

Numbers arrive as :class:`~custody.rows.NumericCell`, because a spreadsheet keeps fifteen digits of
them. Cells formatted as dates arrive as ISO text; a cell that shows an error holds nothing.
"""

import warnings
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from custody.policy.model import Dataset, Source
from custody.rows import Chunk, NumericCell, RawRow, RawValue
from custody.sources.columns import MOST_COLUMNS, map_columns
from custody.sources.files import feed, open_regular, reading, require_unchanged, state_of
from custody.sources.reader import SourceError, Span, spans_of
from custody.sources.workbook import (
    DAMAGED,
    Cells,
    damaged,
    load,
    require_bounded,
    rows_of,
    sheet_to_read,
    sheets_of,
)

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

MOST_ROWS: Final = 1_048_576  # the format's own limit
_LONGEST_CELL: Final = 131_072
_ERRORS: Final = frozenset(
    {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"}
)


class XlsxReader:
    """The sheet of a workbook whose first row names its columns."""

    def __init__(
        self,
        location: str,
        *,
        source: Source,
        dataset: Dataset,
        chunk_rows: int,
        required: frozenset[str],
    ) -> None:
        """Open the workbook; see :func:`custody.sources.open_source`."""
        self._source = source
        self._chunk_rows = chunk_rows
        self._file = open_regular(location, source.name)
        self._rows: int | None = None
        try:
            self._state = state_of(self._file)
            require_bounded(self._file, source.name)
            self._book = load(self._file, source.name)
            self._require_one_sheet()
            self._columns = map_columns(source, dataset, self._header(), required)
        except BaseException:
            self._file.close()
            raise
        self._next, self._standing = 0, self._data_rows()

    @property
    def fields(self) -> frozenset[str]:
        """The fields the sheet has a column for."""
        return self._columns.fields

    @property
    def unknown_columns(self) -> int:
        """How many columns mean no field."""
        return self._columns.unknown

    @property
    def chunk_count(self) -> int:
        """How many chunks there are; the first asking reads the sheet once."""
        return -(-self._row_count() // self._chunk_rows)

    @property
    def layout(self) -> dict[str, Any]:
        """By what the file is known to be the same still."""
        return {"state": list(self._state)}

    def digest(self, update: Callable[[bytes], object]) -> None:
        """Feed the file's bytes to ``update``."""
        with reading(self._source.name):
            feed(self._file, update)
        require_unchanged(self._file, self._state, self._source.name)

    def spans(self) -> tuple[Span, ...]:
        """Return where every chunk lies; the first asking reads the sheet once."""
        return spans_of(self._row_count(), self._chunk_rows)

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[Chunk]:
        """Return the chunks from number ``first`` to number ``last``, both included."""
        number = first
        while last is None or number <= last:
            cells = self._take(number)
            if not cells:
                return
            numbered = enumerate(cells, start=number * self._chunk_rows + 1)
            rows = (self._row(place, row) for place, row in numbered if any(map(_is_given, row)))
            yield Chunk(number=number, rows=tuple(rows))
            require_unchanged(self._file, self._state, self._source.name)
            number += 1

    def close(self) -> None:
        """Close the workbook and the file."""
        self._book.close()
        self._file.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the workbook and the file."""
        self.close()

    def _require_one_sheet(self) -> None:
        """Refuse rows that nobody would read: all sheets but the one that is read are blank.

        A source whose registration names its sheet says by that what it leaves out.
        """
        if self._source.sheet is not None:
            return
        read = sheet_to_read(self._book, self._source)
        for other in sheets_of(self._book):
            if other is not read and self._has_cells(other):
                raise SourceError(
                    "rows stand on more than one sheet; name the one to read (sheet: …)",
                    self._source.name,
                )

    def _has_cells(self, sheet: "ReadOnlyWorksheet") -> bool:
        rows = rows_of(sheet, MOST_COLUMNS)
        while taken := self._translated(rows, self._chunk_rows):
            if any(any(map(_is_given, row)) for row in taken):
                return True
        return False

    def _header(self) -> list[str]:
        """Return the cells of the first row, without empty ones after the last."""
        (first,) = self._translated(self._sheet_rows(MOST_COLUMNS + 1), 1) or [()]
        header = ["" if cell is None else str(cell) for cell in first]
        while header and not header[-1].strip():
            header.pop()
        if not header:
            raise SourceError("the sheet has no header", self._source.name)
        return header

    def _sheet_rows(self, columns: int) -> Iterator[Cells]:
        return rows_of(sheet_to_read(self._book, self._source), columns)

    def _data_rows(self) -> Iterator[Cells]:
        # One column more than the header, so that a cell beyond it shows.
        rows = self._sheet_rows(len(self._columns.places) + 1)
        return islice(rows, 1, None)

    def _take(self, number: int) -> list[Cells]:
        """Return the rows of a chunk, beginning again only where the reader stands beyond it."""
        if number < self._next:
            self._next, self._standing = 0, self._data_rows()
        while self._next < number and self._translated(self._standing, self._chunk_rows):
            self._next += 1
        taken = self._translated(self._standing, self._chunk_rows)
        self._next = number + 1
        if number * self._chunk_rows > MOST_ROWS:
            raise SourceError("more rows than a sheet can have", self._source.name)
        return taken

    def _translated(self, rows: Iterator[Cells], count: int) -> list[Cells]:
        """Return the next rows; what openpyxl warns of holds values, so nobody hears it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return list(islice(rows, count))
            except DAMAGED:
                raise damaged(self._source.name) from None

    def _row_count(self) -> int:
        if self._rows is None:
            rows, self._rows = self._data_rows(), 0
            while taken := self._translated(rows, self._chunk_rows):
                self._rows += len(taken)
                if self._rows > MOST_ROWS:
                    raise SourceError("more rows than a sheet can have", self._source.name)
        return self._rows

    def _row(self, number: int, cells: Cells) -> RawRow:
        width = len(self._columns.places)
        known = [(place, name) for place, name in self._columns.known if place < len(cells)]
        ragged = any(map(_is_given, cells[width:]))
        too_long = any(isinstance(one, str) and len(one) > _LONGEST_CELL for one in cells)
        return RawRow(
            number=number,
            values={name: _value(cells[place]) for place, name in known},
            problems=("ragged_row",) if ragged else ("text_too_long",) if too_long else (),
        )


def _is_given(cell: object) -> bool:
    return cell is not None and not (isinstance(cell, str) and not cell.strip())


def _value(cell: object) -> RawValue:
    if cell is None or isinstance(cell, str):
        return None if cell in _ERRORS else cell
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, int | float):
        return NumericCell(text=_plain(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)


def _plain(number: float) -> str:
    exact = Decimal(repr(number))
    whole = exact == exact.to_integral_value() if exact.is_finite() else False
    return format(exact.quantize(Decimal(1)) if whole and abs(exact) < 10**27 else exact, "f")
