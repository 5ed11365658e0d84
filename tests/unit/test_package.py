"""Packages: no cell becomes a formula, no digit is lost, nobody but the recipient reads them."""

import csv
import io
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.errors import UsageError
from custody.packages.cells import is_formula_like, neutralise
from custody.packages.envelope import encrypt_to
from custody.packages.outbox import (
    ManifestInvalidError,
    PackageMissingError,
    Place,
    publish,
    sign_manifest,
    stage_manifest,
    stage_package,
    verify_manifest,
)
from custody.packages.sheet import Cell, write_sheet

COMMANDS = [
    "1+1",
    "1+1|cmd",
    "cmd|' /C calc'!A0",
    'HYPERLINK("http://example.com","x")',
    'WEBSERVICE("http://example.com")',
    "SUM(A1:A9)",
]
OPENERS = ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦", "﹢", "﹣", "﹫"]
PAYLOADS = [opener + command for opener in OPENERS for command in COMMANDS] + [
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\u2212" + "1",
    "\x00=1+1",
    "\u202e=1+1",
    "\t",
    "\r",
    "=",
]
HARMLESS = [
    "王小明",
    "",
    "11010519491231002X",
    "a=b",
    "1-2",
    "'quoted'",
    "（=）",
    "0010",
    "_x003D_1",
]


def sheet(form: str, columns: list[str], rows: list[list[Cell]]) -> bytes:
    return b"".join(write_sheet(form, columns, rows))


def read_xlsx(raw: bytes) -> list[list[object]]:
    book = openpyxl.load_workbook(io.BytesIO(raw))
    return [list(row) for row in book.active.iter_rows()]


def read_csv(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_a_payload_is_made_harmless(payload: str) -> None:
    assert is_formula_like(payload)
    assert neutralise(payload) == "'" + payload


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == text


def test_no_payload_reopens_as_a_formula_in_xlsx() -> None:
    cells = read_xlsx(sheet("xlsx", ["a"], [[payload] for payload in PAYLOADS]))
    assert len(cells) == len(PAYLOADS) + 1
    for (cell,) in cells[1:]:
        assert cell.data_type in {"s", "inlineStr"}  # type: ignore[attr-defined]
        assert str(cell.value).startswith("'")  # type: ignore[attr-defined]


def test_a_sheet_written_carelessly_does_reopen_as_formulas() -> None:
    """The twin: what the usual library makes of the same payloads."""
    book = openpyxl.Workbook()
    for payload in PAYLOADS:
        if payload.isprintable():
            book.active.append([payload])
    kept = io.BytesIO()
    book.save(kept)
    cells = read_xlsx(kept.getvalue())
    assert any(cell.data_type == "f" for (cell,) in cells)  # type: ignore[attr-defined]


def test_no_payload_begins_a_cell_in_csv() -> None:
    rows = read_csv(sheet("csv", ["a", "b"], [[payload, "x;=1+1"] for payload in PAYLOADS]))
    assert len(rows) == len(PAYLOADS) + 1
    assert not any(is_formula_like(cell) for row in rows for cell in row)
    raw = sheet("csv", ["a"], [["x;=1+1\t=2"]]).decode("utf-8-sig")
    assert raw == '"a"\r\n"x;=1+1\t=2"\r\n'


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_eighteen_digit_number_keeps_every_digit(form: str) -> None:
    values: list[Cell] = ["110105194912310021", "6222021234567890128", "0013800000001"]
    raw = sheet(form, ["a", "b", "c"], [values])
    if form == "csv":
        assert read_csv(raw)[1] == values
        return
    row = read_xlsx(raw)[1]
    assert [cell.value for cell in row] == values  # type: ignore[attr-defined]
    assert {cell.number_format for cell in row} == {"@"}  # type: ignore[attr-defined]


def test_numbers_are_numbers_as_long_as_they_fit() -> None:
    long = 123456789012345678
    row = read_xlsx(sheet("xlsx", ["a", "b", "c"], [[Decimal("-12.50"), 7, long]]))[1]
    assert [cell.value for cell in row] == [-12.5, 7, str(long)]  # type: ignore[attr-defined]
    assert read_csv(sheet("csv", ["a"], [[Decimal("-12.50")]]))[1] == ["-12.50"]


@pytest.mark.parametrize(
    "text", ["<a&b>", "line\nbreak", 'say "x"', "，、。", "𠮷野", " spaces ", "a\rb", "]]>"]
)
def test_every_text_comes_back(text: str) -> None:
    assert read_csv(sheet("csv", ["a"], [[text]]))[1] == [text]
    assert read_xlsx(sheet("xlsx", ["a"], [[text]]))[1][0].value == text  # type: ignore[attr-defined]


def test_what_xml_cannot_hold_is_replaced_and_an_escape_is_escaped() -> None:
    raw = sheet("xlsx", ["a"], [["x\x01y"], ["_x003D_1"]])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        xml = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "x\ufffdy" in xml
    assert "_x005F_x003D_1" in xml


def test_there_is_no_other_form() -> None:
    with pytest.raises(UsageError):
        write_sheet("pdf", [], [])


def test_a_sheet_is_written_while_it_is_read() -> None:
    """Memory does not grow: pieces come out long before the last row went in."""
    seen = 0

    def rows() -> Iterator[list[Cell]]:
        nonlocal seen
        for seen in range(200_000):  # noqa: B007
            yield ["x" * 20]

    for form in ("csv", "xlsx"):
        pieces = write_sheet(form, ["a"], rows())
        size = sum(len(next(pieces)) for _ in range(20))
        assert 0 < size < 200_000
        assert seen < 150_000


def test_only_the_recipient_opens_the_package(tmp_path: Path) -> None:
    mine, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    sealed = encrypt_to(tmp_path / "p", str(mine.to_public()), iter([b"ab", b"", b"c" * 100_000]))
    raw = (tmp_path / "p").read_bytes()
    assert len(raw) == sealed.size
    assert pyrage.decrypt(raw, [mine]) == b"ab" + b"c" * 100_000
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(raw, [other])


def test_an_error_of_the_rows_is_not_hidden_by_the_encryption(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise KeyError("gone")

    key = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(KeyError, match="gone"):
        encrypt_to(tmp_path / "p", key, pieces())


@pytest.mark.parametrize("key", ["", "age1", "age1qqqq", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1"])
def test_what_is_no_age_key_is_a_wrong_call(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError):
        encrypt_to(tmp_path / "p", key, iter([b"x"]))
    assert not (tmp_path / "p").exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(outbox=tmp_path / "outbox", name="req_1-r1", file="customers.csv.age")


def stage(place: Place) -> str:
    key = str(pyrage.x25519.Identity.generate().to_public())
    sealed = stage_package(place, key, iter([b"x"]))
    stage_manifest(place, b"{}", bytes(64))
    return sealed.sha256


def test_a_package_is_published_by_one_rename_and_once(place: Place) -> None:
    sha256 = stage(place)
    assert not place.published.exists()
    assert publish(place, sha256) == place.published
    assert not place.staged.exists()
    assert publish(place, sha256) == place.published


def test_an_attempt_before_leaves_no_trace_in_the_next(place: Place) -> None:
    first = stage(place)
    (place.staged / "stray").write_text("x")
    second = stage(place)
    assert first != second
    assert not (place.staged / "stray").exists()
    with pytest.raises(PackageMissingError):
        publish(place, first)
    assert publish(place, second).exists()


def test_a_package_that_is_nowhere_is_reported(place: Place) -> None:
    with pytest.raises(PackageMissingError):
        publish(place, "00" * 32)


def test_a_manifest_verifies_only_as_it_was_signed() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signature = sign_manifest(key, b"{}")
    verify_manifest(public, b"{}", signature)
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for parts in ((public, b"{ }", signature), (other, b"{}", signature), (public, b"{}", b"x")):
        with pytest.raises(ManifestInvalidError):
            verify_manifest(*parts)
    with pytest.raises(ManifestInvalidError):
        verify_manifest(public, b"{}", key.sign(b"{}"))
