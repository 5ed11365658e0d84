"""From text to values: every form that is understood, and every code for what is not."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_catalogue import SHANGHAI, customers, field

from custody import resident_id
from custody.normalise import Value, normalise_rows, normalise_value
from custody.policy.model import Field, FieldType
from custody.rows import NumericCell, RawRow

ID = "11010519491231002X"
RESIDENT_ID = field("resident_id", detector="resident_id")
MOBILE = field("mobile", detector="mobile")
CARD = field("bank_card", detector="bank_card")
EMAIL = field("email", detector="email")
PHONE = field("phone", detector="phone")
DATE = field("birth_on", type=FieldType.DATE)
INSTANT = field("asked_at", type=FieldType.INSTANT)
DECIMAL = field("amount", type=FieldType.DECIMAL)
INTEGER = field("score", type=FieldType.INTEGER)
SEX = field("sex", type=FieldType.CODE, values=("M", "F"), synonyms={"男": "M", "女": "F"})
TEXT = field("name", max_length=10)
FREE = field("body", free_text=True, max_length=4000)

# The zero of each script's digits: NFKC folds the second group to ASCII and not the first.
CONFUSABLE_DIGITS = [
    "\u0660", "\u06f0", "\u07c0", "\u0966", "\u09e6", "\u0a66", "\u0ae6", "\u0b66", "\u0be6",
    "\u0c66", "\u0ce6", "\u0d66", "\u0de6", "\u0e50", "\u0ed0", "\u0f20", "\u1040", "\u1090",
    "\u17e0", "\u1810", "\u1946", "\u19d0", "\u1a80", "\u1b50", "\u1bb0", "\u1c40", "\u1c50",
    "\ua620", "\ua8d0", "\ua900", "\ua9d0", "\uaa50", "\uabf0",
]  # fmt: skip
FOLDABLE_DIGITS = [
    "\uff10", "\U0001d7ce", "\U0001d7d8", "\U0001d7e2", "\U0001d7ec", "\U0001d7f6", "\U0001fbf0",
]  # fmt: skip
CONFUSABLE_X = ["\u0425", "\u0445", "\u03a7", "\u03c7", "\u2d41", "\u16b7", "\u00d7\u0301"]
FOLDABLE_X = ["x", "\uff38", "\uff58", "\u2169", "\u2179", "\U0001d417"]


def read(field_: Field, raw: str | NumericCell | None) -> tuple[Value, tuple[str, ...]]:
    """Return value and problems, with the installation in Shanghai."""
    found = normalise_value(field_, raw, SHANGHAI)
    return found.value, found.problems


@pytest.mark.parametrize(
    ("field_", "raw", "value"),
    [
        (RESIDENT_ID, ID, ID),
        (RESIDENT_ID, " 110105 19491231 002x\u200b", ID),
        (RESIDENT_ID, "１１０１０５１９４９１２３１００２Ｘ", ID),
        (RESIDENT_ID, "110105491231002", ID),
        (MOBILE, "13812345678", "13812345678"),
        (MOBILE, "+86 138-1234-5678", "13812345678"),
        (MOBILE, "0086 13812345678", "13812345678"),
        (MOBILE, "8613812345678", "13812345678"),
        (MOBILE, "138—1234—5678", "13812345678"),
        (CARD, "4111 1111-1111 1111", "4111111111111111"),
        (EMAIL, " Wang.XM＠Example.COM ", "Wang.XM@example.com"),
        (PHONE, "+55 (12) 3923-5555", "+551239235555"),
        (PHONE, "0792-8123456转801", "07928123456x801"),
        (DATE, "2024-01-02", date(2024, 1, 2)),
        (DATE, "2024/1/2", date(2024, 1, 2)),
        (DATE, "2024.1.2", date(2024, 1, 2)),
        (DATE, "20240102", date(2024, 1, 2)),
        (DATE, "2024年1月2日", date(2024, 1, 2)),
        (DATE, "２０２４ 年 １ 月 ２ 日", date(2024, 1, 2)),
        (DATE, "2024-01-02T00:00:00", date(2024, 1, 2)),
        (DATE, "2009-01-01 00:00:00", date(2009, 1, 1)),
        (INSTANT, "2024-01-02 08:00:00", datetime(2024, 1, 2, tzinfo=UTC)),
        (INSTANT, "2024-01-02T00:00:00Z", datetime(2024, 1, 2, tzinfo=UTC)),
        (INSTANT, "2024-01-02T09:30:00.5+09:30", datetime(2024, 1, 2, 0, 0, 0, 500000, tzinfo=UTC)),
        (INSTANT, "2024/1/2 8:00", datetime(2024, 1, 2, tzinfo=UTC)),
        (INSTANT, "2024年1月2日 8时0分", datetime(2024, 1, 2, tzinfo=UTC)),
        (INSTANT, "2024-01-02", datetime(2024, 1, 1, 16, tzinfo=UTC)),
        (DECIMAL, "1,234,567.80", Decimal("1234567.80")),
        (DECIMAL, "１，２３４．５", Decimal("1234.5")),
        (DECIMAL, "−3.5", Decimal("-3.5")),
        (DECIMAL, NumericCell(text="12.5"), Decimal("12.5")),
        (INTEGER, "1,000", 1000),
        (INTEGER, NumericCell(text="42"), 42),
        (INTEGER, "42.0", 42),
        (SEX, "男", "M"),
        (SEX, " 女 ", "F"),
        (SEX, "ｆ", "F"),
        (SEX, "未知", "未知"),
        (TEXT, "  王小明 ", "王小明"),
        (TEXT, NumericCell(text="12"), "12"),
        (MOBILE, NumericCell(text="13812345678"), "13812345678"),
    ],
)
def test_every_known_form_is_read_to_one_value(
    field_: Field, raw: str | NumericCell, value: Value
) -> None:
    assert read(field_, raw) == (value, ())


@pytest.mark.parametrize(
    ("field_", "raw", "problem"),
    [
        (RESIDENT_ID, "1101051949123100", "resident_id_malformed"),
        (RESIDENT_ID, "无", "resident_id_malformed"),
        (RESIDENT_ID, "110105194913310021", "resident_id_date"),
        (RESIDENT_ID, "110105194912310021", "resident_id_check_digit"),
        (RESIDENT_ID, "110105491331002", "resident_id_date"),
        (RESIDENT_ID, "11010519491231002\u0425", "confusable_character"),
        (RESIDENT_ID, NumericCell(text="110105194912310000"), "numeric_identifier_cell"),
        (CARD, NumericCell(text="4111111111111111"), "numeric_identifier_cell"),
        (CARD, "4111111111111112", "bank_card_check_digit"),
        (CARD, "4111", "format_invalid"),
        (MOBILE, "12812345678", "mobile_malformed"),
        (MOBILE, "138123456789", "mobile_malformed"),
        (MOBILE, NumericCell(text="1381234567.5"), "mobile_malformed"),
        (EMAIL, "wang.example.com", "email_malformed"),
        (EMAIL, "wаng@example.com", "confusable_character"),
        (PHONE, "call me", "format_invalid"),
        (DATE, "soon", "type_invalid"),
        (DATE, "1/2/2024", "type_invalid"),
        (DATE, "2024-1/2", "type_invalid"),
        (DATE, "2024-W01-1", "type_invalid"),
        (DATE, "2024-01-02 10:00:00", "type_invalid"),
        (DATE, "2023-02-30", "date_implausible"),
        (DATE, "2023年13月1日", "date_implausible"),
        (DATE, "٢٠٢٤-٠١-٠٢", "confusable_character"),
        (INSTANT, "2024-01-02 25:00", "date_implausible"),
        (INSTANT, "2024-01-02 10:00 +99:99", "date_implausible"),
        (INSTANT, "0001-01-01 00:00", "date_implausible"),
        (INSTANT, "yesterday", "type_invalid"),
        (DECIMAL, "1,5", "type_invalid"),
        (DECIMAL, "NaN", "type_invalid"),
        (DECIMAL, "Infinity", "type_invalid"),
        (DECIMAL, "1e5", "type_invalid"),
        (DECIMAL, "٣", "confusable_character"),
        (INTEGER, "1.5", "type_invalid"),
        (INTEGER, "9" * 5000, "type_invalid"),
        (INTEGER, "9" * 19, "value_out_of_range"),
        (SEX, "\u041c", "confusable_character"),
        (TEXT, "王小明王小明王小明王小明", "text_too_long"),
        (TEXT, "王\x00明", "control_character"),
        (FREE, "bell\x07", "control_character"),
        (FREE, "c1 \x85", "control_character"),
        (FREE, "wrong \ufffd", "undecodable_text"),
        (FREE, "half \ud800", "undecodable_text"),
        (RESIDENT_ID, ID + "\x00", "control_character"),
    ],
)
def test_every_defect_has_exactly_its_code(
    field_: Field, raw: str | NumericCell, problem: str
) -> None:
    assert read(field_, raw)[1] == (problem,)


def test_two_defects_of_one_text_are_both_told() -> None:
    assert read(TEXT, "\x01" * 11)[1] == ("control_character", "text_too_long")


@pytest.mark.parametrize("raw", [None, "", "   ", "\t\n", "\u3000", "\u200b", "\ufeff "])
@pytest.mark.parametrize("field_", [RESIDENT_ID, MOBILE, DATE, DECIMAL, SEX, TEXT, FREE])
def test_blank_is_nothing_and_no_problem(field_: Field, raw: str | None) -> None:
    assert read(field_, raw) == (None, ())


def test_a_text_identifier_in_a_numeric_cell_is_refused_where_it_names_somebody() -> None:
    cell = NumericCell(text="1001")
    assert read(TEXT, cell) == ("1001", ())
    named = normalise_value(TEXT, cell, SHANGHAI, identifier=True)
    assert named.problems == ("numeric_identifier_cell",)


def test_a_text_identifier_is_folded_and_look_alikes_are_refused() -> None:
    customer_no = field("customer_no")
    folded = normalise_value(customer_no, "Ｃ ００１\u200b", SHANGHAI, identifier=True)
    assert (folded.value, folded.problems) == ("C001", ())
    twin = normalise_value(customer_no, "\u0421001", SHANGHAI, identifier=True)
    assert twin.problems == ("confusable_character",)


@pytest.mark.parametrize(
    "text", ["𠮷野家", "王𪚥", "㐂", "ＡＢＣ１２３", "a\u200bb", "①", "行一\n行二\t"]
)
def test_what_people_write_keeps_its_characters(text: str) -> None:
    assert read(FREE, text) == (text, ())


def test_composed_and_decomposed_text_become_the_same() -> None:
    assert read(TEXT, "Zoe\u0308") == read(TEXT, "Zo\u00eb")


@pytest.mark.parametrize("zero", CONFUSABLE_DIGITS)
def test_a_digit_of_another_script_is_a_look_alike(zero: str) -> None:
    text = "".join(chr(ord(zero) + int(one)) for one in ID[:17]) + "X"
    assert read(RESIDENT_ID, text)[1] == ("confusable_character",)


@pytest.mark.parametrize("zero", FOLDABLE_DIGITS)
def test_a_compatibility_digit_is_the_digit(zero: str) -> None:
    text = "".join(chr(ord(zero) + int(one)) for one in ID[:17]) + "X"
    assert read(RESIDENT_ID, text) == (ID, ())


@pytest.mark.parametrize("letter", CONFUSABLE_X)
def test_a_letter_that_looks_like_x_is_a_look_alike(letter: str) -> None:
    assert read(RESIDENT_ID, ID[:17] + letter)[1] == ("confusable_character",)


@pytest.mark.parametrize("letter", FOLDABLE_X)
def test_a_compatibility_x_is_the_x(letter: str) -> None:
    assert read(RESIDENT_ID, ID[:17] + letter) == (ID, ())


def test_there_are_at_least_fifty_variants() -> None:
    variants = CONFUSABLE_DIGITS + FOLDABLE_DIGITS + CONFUSABLE_X + FOLDABLE_X
    assert len(set(variants)) >= 50


def test_a_row_is_read_whole_and_outside_fields_are_left_alone() -> None:
    row = RawRow(number=7, values={"customer_no": "C1", "sex": "男", "email": "broken"})
    (found,) = normalise_rows(customers(), [row], SHANGHAI, {"customer_no", "sex"})
    assert found.number == 7
    assert found.values == {"customer_no": "C1", "sex": "M"}
    assert found.problems == {}


def test_a_row_whose_columns_cannot_be_trusted_is_not_read() -> None:
    row = RawRow(number=1, values={"customer_no": "C1"}, problems=("ragged_row",))
    (found,) = normalise_rows(customers(), (row,), SHANGHAI)
    assert (found.values, found.problems, found.row_problems) == ({}, {}, ("ragged_row",))


def test_no_value_shows_in_a_repr() -> None:
    row = RawRow(number=1, values={"name": "王小明", "sex": "王小明"})
    (found,) = normalise_rows(customers(), [row], SHANGHAI)
    cell = normalise_value(TEXT, "王小明", SHANGHAI)
    assert "王小明" not in repr(row) + repr(found) + repr(cell) + repr(NumericCell(text="王小明"))


@given(
    st.integers(110000, 659999),
    st.dates(date(1900, 1, 1), date(1999, 12, 31)),
    st.integers(0, 999),
)
def test_old_and_new_form_of_a_number_are_one_person(area: int, born: date, seq: int) -> None:
    old = f"{area}{born:%y%m%d}{seq:03}"
    assert read(RESIDENT_ID, old) == read(RESIDENT_ID, resident_id.to_new_form(old))


@given(
    st.text(max_size=60),
    st.sampled_from(
        [RESIDENT_ID, MOBILE, CARD, EMAIL, PHONE, DATE, INSTANT, DECIMAL, INTEGER, SEX, TEXT, FREE]
    ),
)
def test_no_text_makes_reading_fail_and_reading_again_changes_nothing(
    raw: str, field_: Field
) -> None:
    value, problems = read(field_, raw)
    if isinstance(value, str) and not problems:
        assert read(field_, value) == (value, ())
