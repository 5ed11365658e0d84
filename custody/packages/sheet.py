"""Sheets, written as they are read: bytes come piece by piece and nothing is kept.

CSV is UTF-8 with a byte order mark, every cell quoted, lines ended by CR LF (RFC 4180). XLSX
(ECMA-376) is written here by hand, because libraries write the plain sheet to a temporary file
first. It has one sheet; text cells are inline strings in the text format, so that an 18-digit
number stays what it is; numbers of up to 15 digits are number cells.
"""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from custody.errors import UsageError
from custody.packages.cells import cell_text

Cell: TypeAlias = str | int | Decimal
Rows: TypeAlias = Iterable[Sequence[Cell]]

_MOST_DIGITS: Final = 15
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOOKS_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_RELS_TYPE: Final = "application/vnd.openxmlformats-package.relationships+xml"
_TYPES: Final = (
    f'<Types xmlns="{_PACKAGE}/content-types">'
    f'<Default Extension="rels" ContentType="{_RELS_TYPE}"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
    "</Types>"
)
_ROOT_RELS: Final = (
    f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
    f' Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
)
_WORKBOOK: Final = (
    f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
    '<sheets><sheet name="data" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_WORKBOOK_RELS: Final = (
    f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_RELATIONS}/styles" Target="styles.xml"/>'
    "</Relationships>"
)
# Cell format 1 is text: format 49 is "@", and quotePrefix keeps Excel from reading it anew.
_STYLES: Final = (
    f'<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf/><xf numFmtId="49" quotePrefix="1" applyNumberFormat="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/>'
    "</cellStyles></styleSheet>"
)
_PARTS: Final = (
    ("[Content_Types].xml", _TYPES),
    ("_rels/.rels", _ROOT_RELS),
    ("xl/workbook.xml", _WORKBOOK),
    ("xl/_rels/workbook.xml.rels", _WORKBOOK_RELS),
    ("xl/styles.xml", _STYLES),
)
_SHEET: Final = "xl/worksheets/sheet1.xml"
_HEAD: Final = f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>'
_TAIL: Final = "</sheetData></worksheet>"


def write_sheet(form: str, columns: Sequence[str], rows: Rows) -> Iterator[bytes]:
    """Yield the bytes of a sheet in ``form``, ``csv`` or ``xlsx``.

    Raises:
        UsageError: There is no such form.
    """
    writer = _WRITERS.get(form)
    if writer is None:
        raise UsageError("no such form", form)
    return writer(columns, rows)


def _write_csv(columns: Sequence[str], rows: Rows) -> Iterator[bytes]:
    yield "\ufeff".encode()
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line([cell_text(cell) for cell in row])


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()


def _write_xlsx(columns: Sequence[str], rows: Rows) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in _PARTS:
            archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), _XML + part)
        sheet = zipfile.ZipInfo(_SHEET, _FIXED_TIME)
        sheet.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(sheet, "w", force_zip64=True) as file:
            file.write(_HEAD.encode())
            file.write(_xlsx_row(columns))
            for row in rows:
                file.write(_xlsx_row(row))
                yield from sink.take()
            file.write(_TAIL.encode())
    yield from sink.take()


def _xlsx_row(cells: Sequence[Cell]) -> bytes:
    return f"<row>{''.join(map(_xlsx_cell, cells))}</row>".encode()


def _xlsx_cell(cell: Cell) -> str:
    text = cell_text(cell)
    if not isinstance(cell, str) and sum(map(str.isdigit, text)) <= _MOST_DIGITS:
        return f"<c><v>{text}</v></c>"
    return f'<c s="1" t="inlineStr"><is><t xml:space="preserve">{_xml_text(text)}</t></is></c>'


def _xml_text(text: str) -> str:
    """Return text as XML holds it; ``_x0041_`` would be read as ``A`` and is escaped itself."""
    safe = _LOOKS_ESCAPED.sub("_x005F_", _NOT_XML.sub("\ufffd", text))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("\r", "&#13;")


class _Sink(io.RawIOBase):
    """A file that only goes forward: what was written is taken away at once."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Return True: this is all it can do."""
        return True

    def write(self, piece: object) -> int:
        """Keep the piece until it is taken."""
        raw = bytes(memoryview(piece))  # type: ignore[arg-type]
        self._pieces.append(raw)
        return len(raw)

    def take(self) -> Iterator[bytes]:
        """Yield what was written since the last time."""
        pieces, self._pieces = self._pieces, []
        yield from pieces


_WRITERS: Final[Mapping[str, Callable[[Sequence[str], Rows], Iterator[bytes]]]] = {
    "csv": _write_csv,
    "xlsx": _write_xlsx,
}
