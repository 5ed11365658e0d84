"""Sources, files and workbooks for the tests of the readers."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from small_catalogue import customers

from custody.policy.model import Source
from custody.rows import RawRow
from custody.sources import Reader, open_source

HEADER = "客户号,姓名,手机号,地址"
ENGLISH = "customer_no,name,mobile,address"
ROWS = (
    "C1,王小明,13812345678,江西省九江市濂溪区十里大道1号",
    "C2,𠮷野𪚥,13912345678,㐂镇䶮路2号",
    'C3,"O""Neill, Zoë",13712345678,"第一行\n第二行"',
    "C4,,,",
    "C5,李四,13612345678,上海市浦东新区",
)


def source(kind: str = "csv", **changes: Any) -> Source:
    """Return a source of customers."""
    values: dict[str, Any] = {
        "name": "legacy",
        "title": {"zh": "旧", "en": "Legacy"},
        "kind": kind,
        "dataset": "customers",
        "namespace": "legacy",
        "purpose": "service",
    }
    return Source(**(values | changes))


def opened(place: Path | str, kind: str = "csv", chunk_rows: int = 2, **changes: Any) -> Reader:
    """Open a source of customers at ``place``."""
    return open_source(
        source(kind, **changes),
        location=str(place),
        dataset=customers(),
        chunk_rows=chunk_rows,
        environment={},
    )


def rows_of(reader: Reader) -> list[RawRow]:
    """Read every row and close the reader."""
    with reader:
        return [row for chunk in reader.chunks() for row in chunk.rows]


def write(folder: Path, content: bytes | str, name: str = "rows.csv") -> Path:
    """Write a file into ``folder``."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(lines: Sequence[str] = ROWS, header: str = HEADER, end: str = "\r\n") -> str:
    """Return the text of a CSV file."""
    return end.join((header, *lines, ""))


def workbook(rows: Sequence[Sequence[object]]) -> bytes:
    """Return a workbook with one sheet."""
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    stored = io.BytesIO()
    book.save(stored)
    return stored.getvalue()


def edited(content: bytes, **parts: bytes | None) -> bytes:
    """Return a workbook with parts replaced, by the last part of their name; None drops one."""
    stored = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            stem = info.filename.rsplit("/", 1)[-1].split(".")[0]
            replaced = parts.get(stem, old.read(info))
            if replaced is not None:
                new.writestr(info.filename, replaced)
    return stored.getvalue()


def shared(strings: bytes, cells: str) -> bytes:
    """Return a workbook whose sheet has these rows and whose shared strings are these."""
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    links = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{kinds}"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{sheet_type}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{sheet_type}.sharedStrings+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{sheet_type}.worksheet+xml"/>'
        "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData>'
        "</worksheet>",
    }
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        archive.writestr("xl/sharedStrings.xml", strings)
    return stored.getvalue()
