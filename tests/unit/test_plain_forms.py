"""What is told at a glance is what reading it with care comes to."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_catalogue import SHANGHAI, customers, field

from custody.normalise import Normalised, identifier_fields, normalise_value
from custody.plain_forms import plain_reader
from custody.policy.model import Field, FieldType

DATASET = customers()
NUMBERS = (
    field("score", 20, type=FieldType.INTEGER),
    field("amount", 21, type=FieldType.DECIMAL),
    field("uscc", 22, detector="uscc"),
    field("short", 23, max_length=3),
)
FIELDS = (*DATASET.fields, *NUMBERS)
NAMED = identifier_fields(DATASET)
PLAIN = ("11010519491231002X", "13812345678", "6222021234567890128", "a.b@example.com", "C0001")
DAYS = ("2024-02-29", "2023-02-29", "2024-01-31T23:59:59+08:00", "0001-01-01T00:00:00+08:00")
FIGURES = ("0", "12.50", "1" * 19, "-3")
TEXTS = ("男", "M", "m", "其他", "王小明", "王 小明", " 王小明", "上海市1号", "a", "ab ", "Ünal")
# Close to what plain readers take, so that much of what is drawn is nearly or really plain.
NEAR = st.one_of(
    st.sampled_from([*PLAIN, *DAYS, *TEXTS, *FIGURES]),
    st.from_regex(r"\A[0-9]{17}[0-9X]\Z"),
    st.from_regex(r"\A1[0-9]{10}\Z"),
    st.from_regex(r"\A(62|4)[0-9]{11,17}\Z"),
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]\Z"),
    st.from_regex(r"\A20[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:00:[0-6]0[+-][0-2][0-9]:00\Z"),
    st.from_regex(r"\A[A-Za-z0-9._%+'-]{1,9}@[A-Za-z0-9-]{1,9}\.[A-Za-z]{2,4}\Z"),
    st.from_regex(r"\A-?[0-9]{1,20}(\.[0-9]{0,20})?\Z"),
    st.text(max_size=30),
    st.text(alphabet="0123456789Xx-+ .@/年月日ＡＢ１２é\u0301\u200b\t𠮷", max_size=22),
)


@pytest.mark.parametrize("one", FIELDS, ids=lambda one: one.name)
def test_a_plain_value_is_what_normalising_returns_without_a_problem(one: Field) -> None:
    identifier = one.name in NAMED
    plain = plain_reader(one, identifier=identifier)

    def holds(raw: str) -> bool:
        value = plain(raw)
        if value is None or not raw:
            return False
        read = normalise_value(one, raw, SHANGHAI, identifier=identifier)
        assert read == Normalised(value=value)
        assert type(read.value) is type(value)
        return True

    some = [raw for raw in (*PLAIN, *DAYS, *TEXTS, *FIGURES) if holds(raw)]
    assert some or one.detector in {"uscc", "phone"}, "nothing is plain"
    given(NEAR)(holds_for(holds))()


def holds_for(holds: Callable[[str], bool]) -> Callable[[str], None]:
    """Return a check for hypothesis, which wants nothing returned."""

    def check(raw: str) -> None:
        holds(raw)

    return check


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("resident_id", "11010519491231002X", "11010519491231002X"),
        ("resident_id", "110105194912310021", None),
        ("resident_id", "110105491231002", None),
        ("bank_card", "6222021234567890128", "6222021234567890128"),
        ("bank_card", "6222021234567890129", None),
        ("mobile", "+8613812345678", None),
        ("email", "a@Example.com", None),
        ("birth_on", "2023-02-29", None),
        ("birth_on", "2024-02-29", date(2024, 2, 29)),
        ("name", "王小明 ", None),
        ("name", "王" * 21, None),
        ("sex", "男", "M"),
        ("sex", "x", None),
    ],
)
def test_what_is_plain(name: str, raw: str, value: object) -> None:
    one = DATASET.field(name)
    assert plain_reader(one, identifier=name in NAMED)(raw) == value
