"""Staff: nobody has a key without another officer's signature, and who leaves is out at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from own_databases import Databases
from people_house import CHEAP, SHELL, WORDS, House, build_house, close_house, person

from custody.acts.session import login
from custody.acts.staff import (
    add_staff,
    deactivate_staff,
    enrol,
    find_staff,
    list_staff,
    require_key_owner,
)
from custody.acts.use import decide_use, grant_use
from custody.errors import RefusedError, UsageError
from custody.keys.person import PersonKey, create_person_key
from custody.people import Person
from custody.policy.model import UnknownNameError


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    yield built
    close_house(built)


def newcomer(house: House, role: str = "business") -> tuple[Person, PersonKey]:
    staff_id = add_staff(house.custody, SHELL, name="新人", department="二部", role=role)
    key = create_person_key(house.folder / f"new-{staff_id}", WORDS, CHEAP)
    return find_staff(house.custody, staff_id), key


def refused(house: House, who: Person, public_key: bytes, token: str | None) -> set[str]:
    with pytest.raises(RefusedError) as error:
        enrol(house.custody, SHELL, who.id, public_key, token)
    assert require_no_key(house, who)
    return {reason.code for reason in error.value.reasons}


def require_no_key(house: House, who: Person) -> bool:
    return {p.id: kid for p, kid in list_staff(house.custody)}[who.id] == ""


def test_a_third_officer_cannot_enrol_himself(house: House) -> None:
    who, key = newcomer(house, "compliance_officer")
    assert refused(house, who, key.public, None) == {"enrolment_needs_officer"}


def test_the_first_to_enrol_themselves_must_be_officers(
    databases: Databases, tmp_path: Path
) -> None:
    empty = build_house(databases, tmp_path, staff=())
    who, key = newcomer(empty, "business")
    assert refused(empty, who, key.public, None) == {"enrolment_needs_officer"}
    empty.hire("sun", "compliance_officer")
    second = create_person_key(tmp_path / "second", WORDS, CHEAP)
    with pytest.raises(RefusedError, match="enrolment_needs_officer"):
        enrol(empty.custody, SHELL, empty.members["sun"].id, second.public, None)
    empty.hire("li", "compliance_officer")
    who, key = newcomer(empty, "compliance_officer")
    assert refused(empty, who, key.public, None) == {"enrolment_needs_officer"}
    close_house(empty)


def test_another_officer_enrols(house: House) -> None:
    who, key = newcomer(house)
    kid = enrol(house.custody, SHELL, who.id, key.public, house.vouch(who, key.public))
    assert kid == key.kid
    assert require_key_owner(house.custody, kid) == who


def test_an_officers_word_is_for_one_person_one_key_and_one_role(house: House) -> None:
    who, key = newcomer(house)
    other, other_key = newcomer(house, "approver")
    token = house.vouch(who, key.public)
    assert refused(house, other, key.public, token) == {"digest_mismatch"}
    assert refused(house, who, other_key.public, token) == {"digest_mismatch"}
    promoted = Person(id=who.id, name=who.name, department="", role="approver", state=who.state)
    assert refused(house, who, key.public, house.vouch(promoted, key.public)) == {"digest_mismatch"}


@pytest.mark.parametrize("officer", ["wang", "zhao"])
def test_only_an_officer_enrols_others(house: House, officer: str) -> None:
    who, key = newcomer(house)
    token = house.vouch(who, key.public, officer)
    assert refused(house, who, key.public, token) == {"role_not_permitted"}


def test_an_officer_does_not_sign_for_a_key_of_his_own(house: House) -> None:
    officer = house.members["sun"]
    key = create_person_key(house.folder / "second", WORDS, CHEAP)
    with pytest.raises(RefusedError) as error:
        enrol(house.custody, SHELL, officer.id, key.public, house.vouch(officer.person, key.public))
    assert [r.code for r in error.value.reasons] == ["enrolment_needs_officer"]


def test_an_officers_word_cannot_be_used_twice_or_late(house: House) -> None:
    who, key = newcomer(house)
    token = house.vouch(who, key.public)
    house.clock.advance(seconds=601)
    assert refused(house, who, key.public, token) == {"statement_expired"}
    token = house.vouch(who, key.public)
    enrol(house.custody, SHELL, who.id, key.public, token)
    with pytest.raises(RefusedError):
        enrol(house.custody, SHELL, who.id, key.public, token)


def test_an_officer_who_left_enrols_nobody(house: House) -> None:
    who, key = newcomer(house)
    token = house.vouch(who, key.public)
    deactivate_staff(house.custody, SHELL, house.members["sun"].id)
    assert refused(house, who, key.public, token) == {"staff_inactive"}


def test_one_key_never_speaks_for_two_accounts(house: House) -> None:
    who, _ = newcomer(house)
    known = house.members["wang"].key.public
    assert refused(house, who, known, house.vouch(who, known)) == {"signature_invalid"}


def test_a_second_key_revokes_the_first_and_ends_its_sessions(house: House) -> None:
    wang = house.members["wang"]
    key = create_person_key(house.folder / "second", WORDS, CHEAP)
    enrol(house.custody, SHELL, wang.id, key.public, house.vouch(wang.person, key.public))
    with pytest.raises(RefusedError, match="session_expired"):
        house.file(house.ask_use())
    with pytest.raises(RefusedError):
        login(house.custody, SHELL, wang.key, house.folder / "again")


def test_who_leaves_loses_sessions_and_grants_at_once(house: House) -> None:
    house.store([person()])
    request_id = house.file(house.ask_use())
    decide_use(house.custody, SHELL, request_id)
    grant = grant_use(house.custody, SHELL, request_id)
    assert house.read(grant.id).rows
    deactivate_staff(house.custody, SHELL, house.members["wang"].id)
    with pytest.raises(RefusedError) as error:
        house.read(grant.id)
    assert {r.code for r in error.value.reasons} == {"staff_inactive", "session_expired"}
    with pytest.raises(RefusedError, match="staff_inactive"):
        login(house.custody, SHELL, house.members["wang"].key, house.folder / "again")
    deactivate_staff(house.custody, SHELL, house.members["wang"].id)


def test_others_are_untouched_when_somebody_leaves(house: House) -> None:
    before = {p.id: (p, kid) for p, kid in list_staff(house.custody)}
    gone = house.members["zhou"].id
    deactivate_staff(house.custody, SHELL, gone)
    after = {p.id: (p, kid) for p, kid in list_staff(house.custody)}
    assert not after[gone][0].active
    assert {k: v for k, v in before.items() if k != gone} == {
        k: v for k, v in after.items() if k != gone
    }


def test_a_role_the_policy_does_not_know_is_a_wrong_call(house: House) -> None:
    with pytest.raises(UnknownNameError):
        add_staff(house.custody, SHELL, name="x", department="y", role="emperor")
    with pytest.raises(UsageError):
        deactivate_staff(house.custody, SHELL, house.custody.installation_id)


def test_a_key_of_the_wrong_length_is_refused(house: House) -> None:
    who, key = newcomer(house)
    short = key.public[:31]
    assert refused(house, who, short, house.vouch(who, short)) == {"signature_invalid"}


def test_the_clock_alone_never_reopens_self_enrolment(house: House) -> None:
    house.clock.now += timedelta(days=4000)
    who, key = newcomer(house, "compliance_officer")
    assert refused(house, who, key.public, None) == {"enrolment_needs_officer"}


def test_the_last_officer_cannot_be_let_go(house: House) -> None:
    deactivate_staff(house.custody, SHELL, house.members["sun"].id)
    with pytest.raises(RefusedError) as refused:
        deactivate_staff(house.custody, SHELL, house.members["li"].id)
    assert [reason.code for reason in refused.value.reasons] == ["enrolment_needs_officer"]
