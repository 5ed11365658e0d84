"""Opening an XLSX workbook within bounds, and finding the sheet of it that is read."""

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from xml.etree.ElementTree import ParseError

from custody.errors import QualityGateError, Reason
from custody.policy.model import Source
from custody.sources.reader import SourceError

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet
    from openpyxl.worksheet.worksheet import Worksheet

Cells = Sequence[object]

_LARGEST_TOTAL: Final = 1 << 30
_LARGEST_STRINGS: Final = 64 << 20
_LARGEST_PART: Final = 16 << 20  # of any other part: styles, relations, the workbook itself
_HIGHEST_RATIO: Final = 100  # of a real sheet it is 10 to 40
_RATIO_MATTERS_FROM: Final = 16 << 20
_MOST_PARTS: Final = 5000
# What openpyxl and the modules under it raise on damaged input; each is a plain error of data.
DAMAGED: Final = (
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


def load(file: BinaryIO, name: str) -> "Workbook":
    """Return the workbook; what openpyxl warns of holds values, so nobody hears it.

    Raises:
        QualityGateError: It is damaged.
    """
    from openpyxl import load_workbook  # noqa: PLC0415 - slow to import, only workbooks need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except DAMAGED:
            raise damaged(name) from None


def sheets_of(book: "Workbook") -> "list[ReadOnlyWorksheet]":
    """Return the sheets that hold cells; a chart may stand on a sheet of its own."""
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet  # noqa: PLC0415 - as above

    return [one for one in book.worksheets if isinstance(one, ReadOnlyWorksheet)]


def rows_of(sheet: "ReadOnlyWorksheet", columns: int) -> Iterator[Cells]:
    """Return the values of every row, of so many columns."""
    # What the file says about its own size is often wrong, and rows beyond it would be lost.
    sheet.reset_dimensions()
    # A read-only sheet borrows the method of a class it does not inherit from.
    return cast("Worksheet", sheet).iter_rows(max_col=columns, values_only=True)


def sheet_to_read(book: "Workbook", source: Source) -> "ReadOnlyWorksheet":
    """Return the sheet that the source names, or the first.

    Raises:
        SourceError: There is none.
    """
    sheets = sheets_of(book)
    if source.sheet is not None:
        sheets = [one for one in sheets if one.title == source.sheet]
    if not sheets:
        raise SourceError("the workbook has no such sheet", source.name)
    return sheets[0]


def require_bounded(file: BinaryIO, name: str) -> None:
    """Refuse a workbook that would inflate beyond what is reasonable, before inflating it.

    The sizes are those the archive states; zipfile gives out no more than a part's stated size.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except DAMAGED:
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


def damaged(name: str) -> QualityGateError:
    """Return the error that says so, and nothing of what openpyxl said."""
    return QualityGateError(name, (Reason(code="undecodable_text", about="workbook"),))
