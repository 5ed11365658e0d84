"""Use: decided with every reason, read under a grant, masked, and never without a ledger entry."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from own_databases import Databases
from people_house import SHELL, House, build_house, close_house, person

from custody.acts.reveal import Revealed, reveal
from custody.acts.session import login
from custody.acts.staff import deactivate_staff
from custody.acts.use import decide_use, grant_use, list_grants
from custody.approval import CLEAR, MASKED
from custody.database.engine import DatabaseError
from custody.database.grants import Grant
from custody.decision import Verdict
from custody.errors import RefusedError, UsageError
from custody.policy.model import Level
from custody.steps import observed_by


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    yield built
    close_house(built)


def granted(house: House, *, votes: bool = False, **changes: object) -> Grant:
    request_id = house.file(house.ask_use(**changes))
    decide_use(house.custody, SHELL, request_id)
    if votes:
        house.vote(request_id, "zhao")
        house.vote(request_id, "qian")
    return grant_use(house.custody, SHELL, request_id)


def refusals(house: House, who: str = "wang", **changes: object) -> set[tuple[str, str]]:
    request_id = house.file(house.ask_use(**changes), who)
    decision = decide_use(house.custody, SHELL, request_id)
    assert decision.verdict is Verdict.REFUSED
    assert decide_use(house.custody, SHELL, request_id).reasons == decision.reasons
    with pytest.raises(RefusedError):
        grant_use(house.custody, SHELL, request_id)
    return {(reason.code, reason.about) for reason in decision.reasons}


def codes(act: Callable[[], object]) -> set[str]:
    with pytest.raises(RefusedError) as error:
        act()
    return {reason.code for reason in error.value.reasons}


def owner(databases: Databases, statement: str) -> None:
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def test_a_masked_use_is_granted_at_once_and_reads_masked(house: House) -> None:
    (customer,) = house.store([person()])
    reading = house.read(granted(house).id)
    assert [row.values for row in reading.rows] == [
        {"customer_no": "K000001", "name": "王*", "resident_id": "1101**********002X"}
    ]
    assert reading.left_out == {}
    assert "王" not in repr(reading)
    assert len(house.store([person(2)])) == 1
    assert customer


def test_what_was_stored_after_filing_is_not_covered(house: House) -> None:
    house.store([person(1)])
    grant = granted(house)
    house.store([person(2)])
    assert len(house.read(grant.id).rows) == 1


def test_training_and_assessment_are_reported_and_do_not_block(house: House) -> None:
    house.store([person()])
    masked = decide_use(house.custody, SHELL, house.file(house.ask_use()))
    clear = decide_use(
        house.custody, SHELL, house.file(house.ask_use(fields={"resident_id": CLEAR}))
    )
    assert masked.verdict is Verdict.PERMITTED
    assert [n.code for n in masked.notes] == ["training_not_captured"]
    assert clear.verdict is Verdict.NEEDS_APPROVAL
    assert [n.code for n in clear.notes] == [
        "training_not_captured",
        "assessment_not_captured",
    ]


def test_every_reason_is_given(house: House) -> None:
    house.store([person()])
    found = refusals(
        house,
        fields={"health_note": CLEAR, "social_account": MASKED, "phone": CLEAR},
        until=house.clock() - timedelta(seconds=1),
    )
    assert found == {
        ("level_not_permitted", "health_note"),
        ("fields_not_necessary", "social_account"),
        ("fields_not_necessary", "phone"),
        ("window_invalid", ""),
    }


def test_a_use_lasts_no_longer_than_the_policy_says(house: House) -> None:
    house.store([person()])
    most = timedelta(days=house.custody.policy.settings.window_days + 1)
    over = house.clock() + most + timedelta(seconds=1)
    assert refusals(house, until=over) == {("window_invalid", "")}
    granted(house, until=house.clock() + most)


def test_a_purpose_without_that_dataset_is_refused(house: House) -> None:
    house.store([person()])
    assert refusals(house, purpose="profiling") == {
        ("purpose_not_permitted", "profiling"),
        ("nothing_to_do", ""),
    }
    assert ("purpose_not_permitted", "no_such") in refusals(house, purpose="no_such")


def test_a_role_that_may_not_ask_is_refused(house: House) -> None:
    house.store([person()])
    assert refusals(house, "zhao") == {("role_not_permitted", "file_use")}


def test_records_of_another_purpose_are_not_used(house: House) -> None:
    house.store([person()])
    assert ("nothing_to_do", "") in refusals(
        house, purpose="legacy_contract", fields={"name": MASKED}
    )


def test_somebody_who_left_meanwhile_is_refused(house: House) -> None:
    house.store([person()])
    request_id = house.file(house.ask_use())
    deactivate_staff(house.custody, SHELL, house.members["wang"].id)
    decision = decide_use(house.custody, SHELL, request_id)
    assert [r.code for r in decision.reasons] == ["staff_inactive"]


def test_no_fields_or_no_customers_is_nothing_to_do(house: House) -> None:
    house.store([person()])
    assert refusals(house, fields={}) == {("nothing_to_do", "")}
    assert refusals(house, customers=()) == {("nothing_to_do", "")}


def test_a_use_of_some_customers_shows_no_others(house: House) -> None:
    first, second, third = house.store([person(1), person(2), person(3)])
    grant = granted(house, customers=(first, second))
    assert len(house.read(grant.id).rows) == 2
    assert len(house.read(grant.id, customers=(second, third)).rows) == 1
    assert house.read(grant.id, customers=(third,)).rows == ()


def test_a_grant_is_its_holders_alone(house: House) -> None:
    house.store([person()])
    grant = granted(house)
    assert codes(lambda: house.read(grant.id, "zhou")) == {"role_not_permitted"}
    assert [g.id for g in list_grants(house.custody, house.members["wang"].id)] == [grant.id]
    assert list_grants(house.custody, house.members["zhou"].id) == []


def test_a_grant_ends(house: House) -> None:
    house.store([person()])
    grant = granted(house, until=house.clock() + timedelta(minutes=5))
    house.clock.advance(minutes=5)
    assert codes(lambda: house.read(grant.id)) == {"grant_expired"}


def test_granting_twice_gives_one_grant(house: House) -> None:
    house.store([person()])
    request_id = house.file(house.ask_use())
    decide_use(house.custody, SHELL, request_id)
    assert grant_use(house.custody, SHELL, request_id) == grant_use(
        house.custody, SHELL, request_id
    )


def test_consent_withdrawn_after_the_grant_is_honoured(house: House) -> None:
    first, second = house.store([person(1), person(2)])
    grant = granted(house)
    house.clock.advance(seconds=1)
    house.withdraw(first, "insurance_service")
    reading = house.read(grant.id)
    assert {row.values["customer_no"] for row in reading.rows} == {"K000002"}
    assert reading.left_out == {"consent_withdrawn": 1}
    assert second


def test_what_fell_due_is_stored_and_not_shown(house: House) -> None:
    today = house.custody.today()
    house.store_one(person(1), ends_on=today)
    house.store_one(person(2), ends_on=today + timedelta(days=400))
    grant = granted(house, until=house.clock() + timedelta(days=30))
    house.clock.advance(hours=7)
    assert len(house.read(grant.id).rows) == 2
    house.clock.advance(hours=17 - 7)
    wang = house.members["wang"]
    wang.session = login(house.custody, SHELL, wang.key, house.folder / "w")
    reading = house.read(grant.id)
    assert {row.values["customer_no"] for row in reading.rows} == {"K000002"}
    assert reading.left_out == {"retention_already_over": 1}


def test_a_value_found_more_sensitive_than_declared_stays_hidden(house: House) -> None:
    """Nobody approved seeing an ID number that somebody typed into a name."""
    house.store_one(person(), raised={"name": Level.SENSITIVE})
    plain = granted(house, fields={"name": CLEAR})
    assert house.read(plain.id).rows[0].values["name"] == "****"
    approved = granted(house, votes=True, fields={"name": CLEAR, "resident_id": CLEAR})
    assert house.read(approved.id).rows[0].values["name"] == "王小明"
    house.store_one(person(2), raised={"name": Level.SECRET})
    higher = granted(house, votes=True, fields={"name": CLEAR, "resident_id": CLEAR})
    assert {row.values["name"] for row in house.read(higher.id).rows} == {"王小明", "****"}


def test_an_approver_who_left_before_the_grant_counts_no_longer(house: House) -> None:
    house.store([person()])
    request_id = house.file(house.ask_use(fields={"resident_id": CLEAR}))
    decide_use(house.custody, SHELL, request_id)
    house.vote(request_id, "zhao")
    house.vote(request_id, "qian")
    deactivate_staff(house.custody, SHELL, house.members["qian"].id)
    assert codes(lambda: grant_use(house.custody, SHELL, request_id)) == {
        "staff_inactive",
        "approvals_missing",
    }


@pytest.mark.parametrize(
    "breakage",
    [
        "REVOKE EXECUTE ON FUNCTION ledger.append FROM custody_app",
        "ALTER TABLE ledger.entries RENAME TO elsewhere",
        "DROP SEQUENCE ledger.order_of_entries",
        (
            "ALTER TABLE ledger.entries ADD CONSTRAINT none CHECK (event <> 'grant:records:read')"
            " NOT VALID"
        ),
    ],
)
def test_without_a_ledger_entry_nothing_is_read(
    house: House, databases: Databases, breakage: str
) -> None:
    house.store([person()])
    grant = granted(house)
    assert house.read(grant.id).rows
    owner(databases, breakage)
    with pytest.raises(DatabaseError):
        house.read(grant.id)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "careless twin"])
def test_who_leaves_between_check_and_plaintext_reads_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, *, guarded: bool
) -> None:
    """The guard in the revealing transaction is what refuses; without it the leaver wins."""
    house.store([person()])
    grant = granted(house)

    def leave_then_reveal(*parts: Any, guard: Any, **named: Any) -> list[Revealed]:
        deactivate_staff(house.custody, SHELL, house.members["wang"].id)
        return reveal(*parts, **named, guard=guard if guarded else None)

    monkeypatch.setattr("custody.acts.read.reveal", leave_then_reveal)
    if not guarded:
        assert house.read(grant.id).rows
        return
    assert codes(lambda: house.read(grant.id)) == {
        "staff_inactive",
        "session_expired",
        "grant_expired",
    }


def test_the_ledger_entry_commits_before_plaintext_returns(
    house: House, databases: Databases
) -> None:
    house.store([person()])
    grant = granted(house)
    seen: list[str] = []

    def look(step: str) -> None:
        if step == "reveal:recorded":
            url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
            with psycopg.connect(url) as connection:
                row = connection.execute(
                    "SELECT event FROM ledger.entries ORDER BY seq DESC LIMIT 1"
                ).fetchone()
            seen.extend(row or ())

    with observed_by(look):
        house.read(grant.id)
    assert seen == ["grant:records:read"]


def test_a_long_reading_goes_by_chunks(house: House) -> None:
    house.store([person(n) for n in range(1, 8)])
    grant = granted(house)
    house.custody = replace(house.custody, chunk_rows=3)
    assert len(house.read(grant.id).rows) == 7
    assert len(house.read(grant.id, limit=4).rows) == 4
    for limit in (0, 10_001):
        with pytest.raises(UsageError):
            house.read(grant.id, limit=limit)


@pytest.mark.parametrize(
    "change",
    [
        "fields = jsonb_set(fields, '{resident_id}', '\"clear\"')",
        "until = until + interval '10 years'",
        "purpose = 'partner_service'",
    ],
)
def test_a_grant_changed_in_its_table_is_not_read_under(
    house: House, databases: Databases, change: str
) -> None:
    house.store([person()])
    grant = granted(house)
    assert house.read(grant.id).rows
    owner(databases, f"UPDATE custody.grants SET {change}")
    assert codes(lambda: house.read(grant.id)) == {"digest_mismatch"}
