"""XLSX: what cells hold, and workbooks made to hurt."""

import io
from datetime import date, datetime
from pathlib import Path

import pytest
from openpyxl import load_workbook
from source_values import edited, opened, rows_of, shared, workbook, write

from custody.errors import CustodyError, QualityGateError
from custody.rows import NumericCell
from custody.sources import SourceError

HEADER = ["客户号", "姓名", "身份证号", "出生日期", "采集时间"]
NOON = datetime(2024, 1, 2, 12, 30)  # noqa: DTZ001 - a sheet knows no zone
ROW = ["C1", "王𠮷", "11010519491231002X", date(1949, 12, 31), NOON]


def sheet(cells: str) -> bytes:
    """Return the XML of a sheet with these rows."""
    return (
        '<?xml version="1.0"?><worksheet xmlns='
        '"http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{cells}</sheetData></worksheet>"
    ).encode()


def row(*cells: str, number: int | None = None) -> str:
    """Return the XML of a row of inline strings."""
    attribute = "" if number is None else f' r="{number}"'
    inside = "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
    return f"<row{attribute}>{inside}</row>"


def test_cells_arrive_as_text_and_numbers_as_numbers(tmp_path: Path) -> None:
    numeric = ["C2", "#N/A", 110105194912310020.0, 20240102, True]
    found = rows_of(opened(write(tmp_path, workbook([HEADER, ROW, numeric])), "xlsx"))
    assert dict(found[0].values) == {
        "customer_no": "C1",
        "name": "王𠮷",
        "resident_id": "11010519491231002X",
        "birth_on": "1949-12-31T00:00:00",
        "collected_at": "2024-01-02T12:30:00",
    }
    assert found[1].values["name"] is None
    assert found[1].values["resident_id"] == NumericCell(text="110105194912310000")
    assert found[1].values["birth_on"] == NumericCell(text="20240102")
    assert found[1].values["collected_at"] == "1"


def test_chunks_are_the_same_in_and_out_of_order(tmp_path: Path) -> None:
    rows = [HEADER, *([f"C{n}", "王", None, None, None] for n in range(7))]
    with opened(write(tmp_path, workbook(rows)), "xlsx", chunk_rows=3) as reader:
        whole = list(reader.chunks())
        assert [len(chunk.rows) for chunk in whole] == [3, 3, 1]
        assert reader.chunk_count == 3
        for number in (2, 0, 1, 1, 2):
            assert list(reader.chunks(number, number)) == [whole[number]]
        assert [row.number for chunk in whole for row in chunk.rows] == [1, 2, 3, 4, 5, 6, 7]
        assert [span.rows for span in reader.spans()] == [3, 3, 1]


def test_blank_rows_are_numbered_and_not_read_and_a_cell_beyond_the_header_is_ragged(
    tmp_path: Path,
) -> None:
    rows = [HEADER, ROW, [], ["", None, "  "], [*ROW, "extra"]]
    found = rows_of(opened(write(tmp_path, workbook(rows)), "xlsx"))
    assert [(row.number, row.problems) for row in found] == [(1, ()), (4, ("ragged_row",))]


def two_sheets(second: list[list[object]]) -> bytes:
    """Return a workbook whose second sheet has these rows."""
    book = load_workbook(io.BytesIO(workbook([HEADER, ROW])))
    other = book.create_sheet("more")
    for cells in second:
        other.append(cells)
    stored = io.BytesIO()
    book.save(stored)
    return stored.getvalue()


def test_rows_on_a_second_sheet_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    path = write(tmp_path, two_sheets([[], ["", "  "], [None, "C2"]]))
    with pytest.raises(SourceError, match="more than one sheet") as refused:
        opened(path, "xlsx")
    assert "C2" not in str(refused.value)
    assert len(rows_of(opened(path, "xlsx", sheet="Sheet"))) == 1


def test_a_blank_second_sheet_is_in_nobodys_way(tmp_path: Path) -> None:
    path = write(tmp_path, two_sheets([[], ["", "  "]]))
    assert len(rows_of(opened(path, "xlsx"))) == 1


def test_shared_strings_are_looked_up(tmp_path: Path) -> None:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strings = "".join(f"<si><t>{one}</t></si>" for one in ("客户号", "姓名", "C1", "王"))
    cells = "".join(
        f'<row><c t="s"><v>{one}</v></c><c t="s"><v>{one + 1}</v></c></row>' for one in (0, 2)
    )
    content = shared(f'<sst xmlns="{main}">{strings}</sst>'.encode(), cells)
    (found,) = rows_of(opened(write(tmp_path, content), "xlsx"))
    assert dict(found.values) == {"customer_no": "C1", "name": "王"}


def test_a_stated_size_that_is_too_small_loses_no_row(tmp_path: Path) -> None:
    cells = row("客户号", "姓名") + row("C1", "a") + row("C2", "b")
    lying = sheet(cells).replace(b"<sheetData>", b'<dimension ref="A1:B2"/><sheetData>')
    content = edited(workbook([HEADER]), sheet1=lying)
    assert len(rows_of(opened(write(tmp_path, content), "xlsx"))) == 2


def test_the_declared_sheet_is_read_or_missed(tmp_path: Path) -> None:
    place = write(tmp_path, workbook([HEADER, ROW]))
    assert len(rows_of(opened(place, "xlsx", sheet="Sheet"))) == 1
    with pytest.raises(SourceError, match="no such sheet"):
        opened(place, "xlsx", sheet="Other")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\xd0\xcf\x11\xe0" + b"\x00" * 600,
        edited(workbook([HEADER, ROW]), workbook=None),
        edited(workbook([HEADER, ROW]), workbook=b"<not xml"),
        edited(workbook([HEADER, ROW]), sheet1=None),
        edited(workbook([HEADER, ROW]), sheet1=sheet("")),
        edited(workbook([HEADER, ROW]), styles=b"garbage"),
        shared(b"<sst><si>", '<row><c t="s"><v>0</v></c></row>'),
        edited(workbook([HEADER, ROW]), sheet1=b"\x00" * 50_000_000),
        shared(b" " * 70_000_000, '<row><c t="s"><v>0</v></c></row>'),
        edited(workbook([HEADER, ROW]), styles=b" " * 20_000_000),
        workbook([HEADER, ROW])[:-200],
    ],
)
def test_a_hostile_workbook_is_refused_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    with pytest.raises((SourceError, QualityGateError)):
        rows_of(opened(write(tmp_path, content), "xlsx"))


@pytest.mark.parametrize(
    "cells",
    [
        row("客户号") + row("C1") + "<row><c",
        row("客户号") + row("C1", number=2_000_000_000),
        row("客户号") + '<row><c r="ZZZZZZ1" t="inlineStr"><is><t>x</t></is></c></row>',
        row("客户号") + '<row><c t="s"><v>99</v></c></row>',
        row("客户号") + '<row><c t="n"><v>abc</v></c></row>',
        row("客户号") + '<row r="x"><c t="n"><v>1</v></c></row>',
    ],
)
def test_a_hostile_sheet_is_refused_when_it_is_read(tmp_path: Path, cells: str) -> None:
    content = edited(workbook([HEADER]), sheet1=sheet(cells))
    with pytest.raises(CustodyError):
        rows_of(opened(write(tmp_path, content), "xlsx", chunk_rows=100_000))


def test_entities_do_not_multiply(tmp_path: Path) -> None:
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    bomb = sheet(row("客户号") + row("&j;")).replace(
        b"<worksheet", f"<!DOCTYPE worksheet [{entities}]><worksheet".encode()
    )
    with pytest.raises(CustodyError):
        rows_of(opened(write(tmp_path, edited(workbook([HEADER]), sheet1=bomb)), "xlsx"))


def test_a_number_keeps_what_the_cell_held_in_plain_notation(tmp_path: Path) -> None:
    rows = [["客户号", "姓名"], ["C1", 1e21], ["C2", 0.1], ["C3", -12.50], ["C4", 1e-7]]
    found = rows_of(opened(write(tmp_path, workbook(rows)), "xlsx"))
    texts = [one.values["name"].text for one in found]  # type: ignore[union-attr]
    assert texts == ["1000000000000000000000", "0.1", "-12.5", "0.0000001"]
