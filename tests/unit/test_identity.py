"""Who is who: references lead to one person or to a contradiction, and never to a merge."""

from uuid import UUID, uuid4

import pytest

from custody.identity import Directory, IdentityConflictError, Kind, Reference, refer

ANNA, BEN = uuid4(), uuid4()


def reference(name: str, value: str, *, single: bool = True) -> Reference:
    return refer(
        Kind(
            name, single, lambda one: f"{name}={one}".encode(), lambda one: f"gone {one}".encode()
        ),
        value,
    )


def directory(*known: tuple[UUID, Reference]) -> Directory:
    return Directory(
        epoch=1,
        by_tag={one.tag: customer for customer, one in known},
        singles={(customer, one.name): one.tag for customer, one in known if one.single},
    )


def test_nobody_knows_an_unknown_reference() -> None:
    assert directory().find([reference("id", "1")]) is None
    assert directory().find([]) is None


def test_any_known_reference_leads_to_its_customer() -> None:
    known = directory((ANNA, reference("id", "1")))
    assert known.find([reference("no", "77"), reference("id", "1")]) == ANNA


def test_references_of_two_customers_contradict_each_other() -> None:
    known = directory((ANNA, reference("id", "1")), (BEN, reference("no", "77")))
    with pytest.raises(IdentityConflictError):
        known.find([reference("id", "1"), reference("no", "77")])


def test_a_second_value_of_a_single_reference_is_a_contradiction() -> None:
    known = directory((ANNA, reference("id", "1")), (ANNA, reference("no", "77")))
    with pytest.raises(IdentityConflictError):
        known.find([reference("id", "2"), reference("no", "77")])


def test_a_second_value_of_another_reference_is_none() -> None:
    known = directory((ANNA, reference("id", "1")), (ANNA, reference("mail", "a", single=False)))
    assert known.find([reference("id", "1"), reference("mail", "b", single=False)]) == ANNA


def test_what_a_row_brings_is_known_to_the_rows_behind_it() -> None:
    known = directory()
    known.learn(ANNA, [reference("id", "1"), reference("no", "77")])
    assert known.find([reference("no", "77")]) == ANNA
    with pytest.raises(IdentityConflictError):
        known.find([reference("id", "2"), reference("no", "77")])


def test_a_known_reference_is_not_learnt_twice_nor_taken_over() -> None:
    known = directory((ANNA, reference("id", "1")))
    known.learn(BEN, [reference("id", "1"), reference("no", "78")])
    assert known.by_tag[reference("id", "1").tag] == ANNA
    assert [(who, one.name) for who, one in known.learnt] == [(BEN, "no")]
