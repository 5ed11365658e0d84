"""Levels: declared and detected, and the under-fourteens."""

from datetime import date

import pytest
from small_catalogue import customers, field

from custody.classification import Classifier, classify, under_age
from custody.policy.model import FieldType, Level
from custody.resident_id import check_character

ID = "11010519491231002X"


def test_the_higher_of_declared_and_detected_wins_and_the_difference_is_told() -> None:
    found = classify(field("body", free_text=True, detector="any"), f"证号{ID}")
    assert found.level is Level.SENSITIVE
    assert found.detected is Level.SENSITIVE
    assert found.kinds == {"resident_id"}
    assert found.raised


def test_a_detection_never_lowers_a_level() -> None:
    found = classify(field("note", level=Level.SECRET, free_text=True), f"证号{ID}")
    assert found.level is Level.SECRET
    assert not found.raised


def test_a_mobile_number_in_a_remark_is_told_and_raises_nothing() -> None:
    found = classify(field("note", free_text=True), "回电13812345678")
    assert found.level is Level.GENERAL
    assert found.kinds == {"mobile"}
    assert not found.raised


def test_a_resident_id_used_as_a_customer_number_is_seen() -> None:
    assert classify(field("customer_no"), ID).raised


def test_what_is_no_text_is_not_searched() -> None:
    assert classify(field("score", type=FieldType.INTEGER), 13812345678).kinds == frozenset()


def test_a_row_of_a_child_is_sensitive_in_every_field_and_secret_stays_secret() -> None:
    values = {"name": "王小明", "birth_on": date(2015, 5, 1), "health_note": "无"}
    found = Classifier(customers()).classify(values, on=date(2024, 1, 1))
    assert found.protected
    assert found.levels == {
        "name": Level.SENSITIVE,
        "birth_on": Level.SENSITIVE,
        "health_note": Level.SECRET,
    }


def test_a_child_is_known_by_its_resident_id_when_the_birth_date_is_missing() -> None:
    first = "11010520151231002"
    child = {"resident_id": first + check_character(first)}
    assert Classifier(customers()).classify(child, on=date(2024, 1, 1)).protected
    assert not Classifier(customers()).classify({"resident_id": ID}, on=date(2024, 1, 1)).protected


def test_what_the_caller_knows_of_the_subject_goes_before_the_row() -> None:
    found = Classifier(customers()).classify(
        {"name": "王小明"}, on=date(2024, 1, 1), protected=True
    )
    assert found.levels == {"name": Level.SENSITIVE}


@pytest.mark.parametrize(
    ("born", "on", "young"),
    [
        (date(2010, 6, 15), date(2024, 6, 14), True),
        (date(2010, 6, 15), date(2024, 6, 15), False),
        (date(2012, 2, 29), date(2026, 2, 28), True),
        (date(2012, 2, 29), date(2026, 3, 1), False),
    ],
)
def test_the_fourteenth_birthday_is_reached_on_its_day(
    born: date, on: date, *, young: bool
) -> None:
    assert under_age(born, on) is young
