"""Masks: the shapes of rules.md, and that nothing hidden comes through."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.errors import UsageError
from custody.mask import mask_value
from custody.policy.model import MASKS


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        ("name", "王小明", "王*"),
        ("name", "王", "*"),
        ("name", "John Smith", "J*"),
        ("mobile", "13812345678", "138****5678"),
        ("mobile", "1381234567", "****"),
        ("phone", "13812345678", "138****5678"),
        ("phone", "+551239235555", "****55"),
        ("phone", "110", "****"),
        ("resident_id", "360402199001010071", "3604**********0071"),
        ("resident_id", "36040219900101007x", "****"),
        ("bank_card", "6222021234567890128", "6222***********0128"),
        ("bank_card", "62220212", "****"),
        ("email", "wang@example.com", "w***@example.com"),
        ("email", "no address", "****"),
        ("address", "江西省九江市濂溪区十里大道1号", "江西省九江市濂溪区****"),
        ("address", "北京市朝阳区超市旁3号", "北京市朝阳区****"),
        ("address", "内蒙古自治区呼和浩特市新城区某街2号", "内蒙古自治区呼和浩特市新城区****"),
        ("address", "上海市浦东新区世纪大道100号", "上海市浦东新区****"),
        ("address", "广东省东莞市长安镇莲花小区8栋", "广东省东莞市****"),
        ("address", "濂溪区十里大道1号", "濂溪区****"),
        ("address", "Av. Brigadeiro Faria Lima, 2170", "****"),
        ("hidden", "anything", "****"),
        ("hidden", 7, "****"),
        ("hidden", date(2024, 1, 2), "****"),
        ("none", "as it is", "as it is"),
    ],
)
def test_a_mask_shows_what_its_shape_allows(mask: str, value: object, shown: str) -> None:
    assert mask_value(mask, value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", sorted(MASKS))
def test_nothing_stays_nothing(mask: str) -> None:
    assert mask_value(mask, None) is None


def test_an_unknown_mask_is_an_error_and_not_the_clear_value() -> None:
    with pytest.raises(UsageError):
        mask_value("no_such_mask", "secret")


@given(st.sampled_from(["mobile", "resident_id", "bank_card"]), st.text("0123456789", min_size=1))
def test_a_number_mask_never_shows_more_than_eight_digits_nor_the_middle(
    mask: str, digits: str
) -> None:
    shown = str(mask_value(mask, digits))
    assert sum(one.isdigit() for one in shown) <= 8
    middle = digits[4:-4]
    assert len(middle) < 3 or "*" * len(middle) in shown or shown == "****"


@given(st.text(min_size=2, max_size=40))
def test_an_address_mask_never_shows_a_digit(text: str) -> None:
    assert not any(one in "0123456789" for one in str(mask_value("address", text)))


@given(st.text(min_size=1, max_size=40), st.sampled_from(sorted(MASKS - {"none"})))
def test_a_mask_survives_any_text_and_hides_some_of_it(text: str, mask: str) -> None:
    assert "*" in str(mask_value(mask, text))
