"""What is due by withdrawal: SQL for everybody at once says what the rule says of each."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from own_databases import Databases
from people_house import SHELL, House, build_house, close_house, person

from custody.acts.planning import Scope, plan_destruction
from custody.consent import FOR_EVER, GUARDIAN, PURPOSE, SENSITIVE, withdrawn_purposes
from custody.database.consents import add_consents, consents_of
from custody.database.due import due_by_withdrawal
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.identifiers import time_ordered_id

SERVICE = "insurance_service"
OTHER = (("profiling", PURPOSE, ""),)


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path, staff=())
    yield built
    close_house(built)


def given(house: House, customer: object, chance: random.Random) -> None:
    """Record up to four consents of any kind, given and perhaps withdrawn on any day."""
    for _ in range(chance.randint(0, 5)):
        kind = chance.choice((PURPOSE, PURPOSE, GUARDIAN, GUARDIAN, SENSITIVE))
        new = house._consent(customer, SERVICE, kind, "")
        day = house.clock() + timedelta(days=chance.randint(-4, 4))
        gone = day + timedelta(days=chance.randint(0, 8)) if chance.random() < 0.6 else None
        facts = structs.replace(new.facts, given_at=day, withdrawn_at=gone)
        with transaction(house.custody.data) as connection:
            add_consents(connection, [replace(new, facts=facts)])


def test_sql_and_the_rule_agree_on_every_mix_of_consents(house: House) -> None:
    chance = random.Random(14)
    customers = [house.store_one(person(number), kinds=OTHER) for number in range(120)]
    for customer in customers:
        given(house, customer, chance)
    until = house.clock() + timedelta(days=4)
    with transaction(house.custody.data) as connection:
        due = {one.customer_id for one in due_by_withdrawal(connection, [SERVICE], until)}
        consents = consents_of(connection, customers)
    lost = {
        customer: withdrawn_purposes(consents.get(customer, []), until).get(SERVICE)
        for customer in customers
    }
    stored_at = house.clock()
    assert due == {one for one, end in lost.items() if end is not None and stored_at < end}
    assert 10 < len(due) < 110
    assert sum(end is not None and end < FOR_EVER for end in lost.values()) > 3, "grown up"


def test_what_a_guardian_withdrew_is_due(house: House) -> None:
    kinds = ((SERVICE, PURPOSE, ""), (SERVICE, GUARDIAN, ""))
    child = house.store_one(person(1), kinds=kinds)
    house.store_one(person(2), kinds=kinds)
    withdrawn = house._consent(child, SERVICE, GUARDIAN, "")
    facts = structs.replace(withdrawn.facts, withdrawn_at=house.clock() - timedelta(hours=1))
    with transaction(house.custody.data) as connection:
        add_consents(connection, [replace(withdrawn, facts=facts)])
        due = due_by_withdrawal(connection, [SERVICE], house.clock())
    assert [one.customer_id for one in due] == [child]


def test_who_has_grown_up_consents_alone(house: House) -> None:
    """A guardian's consent that ended long ago takes nothing that was stored on one's own."""
    grown = house.store_one(person(1), kinds=OTHER)
    long_ago, later = house.clock() - timedelta(days=700), house.clock() - timedelta(days=1)
    for kind, given_at, withdrawn_at in (
        (PURPOSE, long_ago, None),
        (GUARDIAN, long_ago, long_ago + timedelta(days=9)),
        (PURPOSE, later, None),
    ):
        new = house._consent(grown, SERVICE, kind, "")
        facts = structs.replace(new.facts, given_at=given_at, withdrawn_at=withdrawn_at)
        with transaction(house.custody.data) as connection:
            due = due_by_withdrawal(connection, [SERVICE], house.clock())
            add_consents(connection, [replace(new, facts=facts)])
    assert [one.customer_id for one in due] == [grown], "before consenting alone"
    with transaction(house.custody.data) as connection:
        assert due_by_withdrawal(connection, [SERVICE], house.clock()) == []


def test_a_plan_of_a_batch_nobody_knows_is_wrong_usage(house: House) -> None:
    unknown = Scope(as_of=house.custody.today(), batch_id=time_ordered_id(house.clock()))
    with pytest.raises(UsageError, match="no such batch"):
        plan_destruction(house.custody, SHELL, unknown)
