"""Reading XLSX workbooks row by row (docs/adr/0004-xlsx-reader.md says why with openpyxl).

Memory does not grow with the rows. It grows with the shared strings, which the format lets a
reader look up in any order, so their size is capped, as is everything else that can be inflated. A
workbook cannot be entered in the middle: reading chunk n of a reader that stands elsewhere passes
over the rows before it, while chunks asked for in order are each read once.

Numbers arrive as :class:`~custody.rows.NumericCell`, because a spreadsheet keeps fifteen digits of
them. Cells formatted as dates arrive as ISO text; a cell that shows an error holds nothing.
"""

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Self, cast
from xml.etree.ElementTree import ParseError

from custody.errors import QualityGateError, Reason
from custody.policy.model import Dataset, Source
from custody.rows import Chunk, NumericCell, RawRow, RawValue
from custody.sources.columns import MOST_COLUMNS, map_columns
from custody.sources.files import feed, open_regular, reading, require_unchanged, state_of
from custody.sources.reader import SourceError, Span, spans_of

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet
    from openpyxl.worksheet.worksheet import Worksheet

_Cells = Sequence[object]

MOST_ROWS: Final = 1_048_576  # the format's own limit
_LARGEST_TOTAL: Final = 1 << 30
_LARGEST_STRINGS: Final = 64 << 20
_LARGEST_PART: Final = 16 << 20  # of any other part: styles, relations, the workbook itself
_HIGHEST_RATIO: Final = 100  # of a real sheet it is 10 to 40
_RATIO_MATTERS_FROM: Final = 16 << 20
_MOST_PARTS: Final = 5000
_LONGEST_CELL: Final = 131_072
_ERRORS: Final = frozenset(
    {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"}
)
# What openpyxl and the modules under it raise on damaged input; each is a plain error of data.
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
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
            _require_bounded(self._file, source.name)
            self._book = _load(self._file, source.name)
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

    def _header(self) -> list[str]:
        """Return the cells of the first row, without empty ones after the last."""
        (first,) = self._translated(self._sheet_rows(MOST_COLUMNS + 1), 1) or [()]
        header = ["" if cell is None else str(cell) for cell in first]
        while header and not header[-1].strip():
            header.pop()
        if not header:
            raise SourceError("the sheet has no header", self._source.name)
        return header

    def _sheet_rows(self, columns: int) -> Iterator[_Cells]:
        sheet = _sheet(self._book, self._source)
        # What the file says about its own size is often wrong, and rows beyond it would be lost.
        sheet.reset_dimensions()
        # A read-only sheet borrows the method of a class it does not inherit from.
        return cast("Worksheet", sheet).iter_rows(max_col=columns, values_only=True)

    def _data_rows(self) -> Iterator[_Cells]:
        # One column more than the header, so that a cell beyond it shows.
        rows = self._sheet_rows(len(self._columns.places) + 1)
        return islice(rows, 1, None)

    def _take(self, number: int) -> list[_Cells]:
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

    def _translated(self, rows: Iterator[_Cells], count: int) -> list[_Cells]:
        """Return the next rows; what openpyxl warns of holds values, so nobody hears it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return list(islice(rows, count))
            except _DAMAGED:
                raise _damaged(self._source.name) from None

    def _row_count(self) -> int:
        if self._rows is None:
            rows, self._rows = self._data_rows(), 0
            while taken := self._translated(rows, self._chunk_rows):
                self._rows += len(taken)
                if self._rows > MOST_ROWS:
                    raise SourceError("more rows than a sheet can have", self._source.name)
        return self._rows

    def _row(self, number: int, cells: _Cells) -> RawRow:
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


def _load(file: BinaryIO, name: str) -> "Workbook":
    from openpyxl import load_workbook  # noqa: PLC0415 - slow to import, only workbooks need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except _DAMAGED:
            raise _damaged(name) from None


def _sheet(book: "Workbook", source: Source) -> "ReadOnlyWorksheet":
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet  # noqa: PLC0415 - as above

    sheets = [one for one in book.worksheets if isinstance(one, ReadOnlyWorksheet)]
    if source.sheet is not None:
        sheets = [one for one in sheets if one.title == source.sheet]
    if not sheets:
        raise SourceError("the workbook has no such sheet", source.name)
    return sheets[0]


def _require_bounded(file: BinaryIO, name: str) -> None:
    """Refuse a workbook that would inflate beyond what is reasonable, before inflating it.

    The sizes are those the archive states; zipfile gives out no more than a part's stated size.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except _DAMAGED:
        raise SourceError("not an XLSX workbook (encrypted, old, or damaged)", name) from None
    if (
        len(parts) > _MOST_PARTS
        or sum(part.file_size for part in parts) > _LARGEST_TOTAL
        or any(map(_is_bomb, parts))
    ):
        raise SourceError("the workbook inflates to more than a workbook may", name)


def _is_bomb(part: zipfile.ZipInfo) -> bool:
    if part.filename.startswith("xl/worksheets/"):
        limit = _LARGEST_TOTAL
    else:
        limit = _LARGEST_STRINGS if "sharedStrings" in part.filename else _LARGEST_PART
    ratio = part.file_size / max(part.compress_size, 1)
    dense = part.file_size > _RATIO_MATTERS_FROM and ratio > _HIGHEST_RATIO
    return part.file_size > limit or dense


def _damaged(name: str) -> QualityGateError:
    return QualityGateError(name, (Reason(code="undecodable_text", about="workbook"),))
