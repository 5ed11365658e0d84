"""Finding identifiers in what people wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_catalogue import SHANGHAI, field
from test_normalise import CONFUSABLE_DIGITS, FOLDABLE_DIGITS

from custody.detect import Detection, detect, kinds_in
from custody.normalise import normalise_value

ID = "11010519491231002X"
CARD = "6222021234567890128"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"我的身份证号是{ID}请核对", {"resident_id"}),
        (f"证号{ID.lower()}。", {"resident_id"}),
        ("身份证１１０１０５１９４９１２３１００２Ｘ，谢谢", {"resident_id"}),
        ("110105 19491231 002X", {"resident_id"}),
        ("旧号110105491231002", {"resident_id"}),
        ("卡号4111 1111 1111 1111", {"bank_card"}),
        ("卡号4111-1111-1111-1111；电话13812345678", {"bank_card", "mobile"}),
        ("致电+86 138-1234-5678", {"mobile"}),
        ("请发wang.xm@example.com谢谢", {"email"}),
        ("请发wang＠example.com谢谢", {"email"}),
        (f"{ID} 13812345678 a@b.cn", {"resident_id", "mobile", "email"}),
        (
            "\u200b1\u200b3\u200b8\u200b1\u200b2\u200b3\u200b4\u200b5\u200b6\u200b7\u200b8",
            {"mobile"},
        ),
    ],
)
def test_what_is_there_is_found(text: str, kinds: set[str]) -> None:
    assert kinds_in(text) == kinds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "客户来电询问保单续期事宜，希望尽快回复。",
        "订单号20240102123456789012345",
        f"A{ID}",
        f"{ID}0",
        "110105194912310021",
        "4111111111111112",
        "23812345678",
        "@",
        "a@b",
    ],
)
def test_what_is_not_there_is_not_found(text: str) -> None:
    assert detect(text) == ()


def test_a_detection_says_where_in_the_original_and_not_what() -> None:
    text = "号\u200b码：１３８１２３４５６７８。"
    (found,) = detect(text)
    assert text[found.start : found.end] == "１３８１２３４５６７８"
    assert "1381" not in repr(found)
    assert found == Detection(kind="mobile", start=4, end=15)


def test_overlapping_finds_are_given_once() -> None:
    assert [one.kind for one in detect(f"x {ID} y")] == ["resident_id"]


@pytest.mark.parametrize("zero", [*CONFUSABLE_DIGITS, *FOLDABLE_DIGITS])
def test_whatever_normalisation_reads_or_calls_a_look_alike_is_found(zero: str) -> None:
    text = "".join(chr(ord(zero) + int(one)) for one in "13812345678")
    read = normalise_value(field("mobile", detector="mobile"), text, SHANGHAI)
    assert read.value == "13812345678" or read.problems == ("confusable_character",)
    assert kinds_in(f"电话{text}。") == {"mobile"}


@given(st.text(max_size=200))
def test_any_text_is_searched_and_every_place_lies_within_it(text: str) -> None:
    places = [(one.start, one.end) for one in detect(text)]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)
