"""Resident IDs: published examples, and what must not pass for one."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import resident_id

# GB 11643-1999 prints the first two as its examples; the third is the one most textbooks repeat.
PUBLISHED = ["11010519491231002X", "440524188001010014", "53010219200508011X"]


@pytest.mark.parametrize("number", PUBLISHED)
def test_a_published_example_is_sound(number: str) -> None:
    assert resident_id.problem_of(number) is None


@pytest.mark.parametrize("number", PUBLISHED)
def test_every_other_check_character_is_refused(number: str) -> None:
    for character in set("0123456789X") - {number[17]}:
        assert resident_id.problem_of(number[:17] + character) == "resident_id_check_digit"


@pytest.mark.parametrize("number", PUBLISHED)
def test_every_single_wrong_digit_is_refused(number: str) -> None:
    for place in range(17):
        for digit in set("0123456789") - {number[place]}:
            assert resident_id.problem_of(number[:place] + digit + number[place + 1 :])


@pytest.mark.parametrize(
    "number",
    ["", "1101051949123100", "11010519491231002x", "1101051949123100２X", "11010519491231002X\n"],
)
def test_another_shape_is_malformed(number: str) -> None:
    assert resident_id.problem_of(number) == "resident_id_malformed"


@pytest.mark.parametrize("day", ["20230230", "20231301", "20230001", "00000101", "20210229"])
def test_a_day_that_never_was_is_reported_before_the_check_character(day: str) -> None:
    first = f"110105{day}002"
    wrong = "1" if resident_id.check_character(first) != "1" else "2"
    assert resident_id.problem_of(first + wrong) == "resident_id_date"


def test_the_number_states_birth_date_and_sex() -> None:
    assert resident_id.birth_on("11010519491231002X") == date(1949, 12, 31)
    assert resident_id.sex("11010519491231002X") == "F"
    assert resident_id.sex("440524188001010014") == "M"


def test_an_unknown_region_is_only_a_hint() -> None:
    first = "990105199001010" + "07"
    number = first + resident_id.check_character(first)
    assert resident_id.problem_of(number) is None
    assert not resident_id.region_known(number)


@given(
    st.integers(110000, 659999),
    st.dates(date(1900, 1, 1), date(1999, 12, 31)),
    st.integers(0, 999),
)
def test_the_old_form_loses_nothing_in_the_new(area: int, born: date, sequence: int) -> None:
    old = f"{area}{born:%y%m%d}{sequence:03}"
    new = resident_id.to_new_form(old)
    assert resident_id.is_old_form(old)
    assert resident_id.problem_of(new) is None
    assert resident_id.birth_on(new) == born
    assert new[:6] + new[8:17] == old
