"""People join, are given a key, and leave.

The first two officers enrol themselves when the installation is made; from then on another active
officer signs for every key (threats T31), and an officer is whoever's role may ``enrol``.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.proof import refusal, signed_by, use_up, verify_person
from custody.acts.recording import record
from custody.database import grants, staff
from custody.database.engine import transaction
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import STAFF, read_id, show_id, time_ordered_id
from custody.keys.person import kid_of
from custody.people import ACTIVE, Person, may, person_reasons
from custody.statements import ENROL, UNLOCK, Signer, Statement, make_token, parse_token

FIRST_OFFICERS: Final = 2
OFFICER: Final = "enrol"
_KEY_BYTES: Final = 32


def add_staff(custody: Custody, actor: Actor, *, name: str, department: str, role: str) -> UUID:
    """Add a member of staff, who can do nothing before a key is enrolled.

    Raises:
        UnknownNameError: The policy has no such role.
    """
    custody.policy.role(role)
    person = Person(
        id=time_ordered_id(custody.now()),
        name=name,
        department=department,
        role=role,
        state=ACTIVE,
    )
    with transaction(custody.data) as connection:
        staff.add_person(connection, person, custody.now(), actor.name)
        record(connection, custody, actor, "staff:added", {"staff": person.shown, "role": role})
    return person.id


def enrolment_token(
    officer: Signer, person: Person, public_key: bytes, *, installation: UUID, at: datetime
) -> str:
    """Return an officer's word that this key is this person's, in this role."""
    own = {"staff": person.shown, "key": kid_of(public_key), "role": person.role}
    return make_token(officer, ENROL, own, installation=installation, at=at)


def enrol(
    custody: Custody, actor: Actor, staff_id: UUID, public_key: bytes, officer: str | None
) -> str:
    """Give a member of staff a key and return its id; a key before it is revoked.

    1. Enrolments come one at a time. 2. The person works here. 3. The key was never anybody's.
    4. Another officer signed for person, key and role; or this is one of the first two officers.

    ``public_key`` is a raw Ed25519 key of 32 bytes, ``officer`` the officer's token, None for the
    first two.

    Raises:
        RefusedError: With every reason.
    """
    kid = kid_of(public_key)
    statement = officer and parse_token(officer, ENROL, installation=custody.installation_id)
    with transaction(custody.data) as connection:
        staff.lock_enrolment(connection)
        ids = {staff_id} | ({statement.sub} if statement else set())
        people = staff.lock_people(connection, ids)
        person = _require_person(people, staff_id)
        reasons = _key_reasons(connection, person, public_key)
        if statement:
            by, officer_reasons = _vouch(connection, custody, statement, people, person, kid)
            reasons += officer_reasons
        else:
            by, reasons = None, reasons + _first_officer_reasons(connection, custody, person)
        if reasons:
            raise RefusedError(person.shown, tuple(reasons))
        staff.add_key(
            connection,
            kid=kid,
            staff_id=staff_id,
            public_key=public_key,
            by=by.id if by else None,
            statement=officer or "",
            at=custody.now(),
        )
        who = signed_by(by, actor) if by else actor
        facts: dict[str, object] = {
            "staff": person.shown,
            "kid": kid,
            "role": person.role,
            "token": officer or "",
        }
        record(connection, custody, who, "staff:key:enrolled", facts)
    return kid


def deactivate_staff(custody: Custody, actor: Actor, staff_id: UUID) -> None:
    """Let a person go: sessions end, grants and votes not yet used lose force at once (H2.3e).

    Running it again is success.

    Raises:
        RefusedError: Nobody would be left who may enrol; a successor is enrolled first.
    """
    with transaction(custody.data) as connection:
        staff.lock_enrolment(connection)
        person = _require_person(staff.lock_people(connection, [staff_id]), staff_id)
        _require_another_officer(connection, custody, person)
        if not staff.deactivate(connection, staff_id):
            return
        facts: dict[str, object] = {
            "staff": person.shown,
            "sessions": staff.end_sessions_of(connection, staff_id, custody.now()),
            "grants": grants.revoke_grants_of(connection, staff_id, custody.now()),
        }
        record(connection, custody, actor, "staff:deactivated", facts)


def _require_another_officer(connection: Connection, custody: Custody, leaving: Person) -> None:
    """Refuse to let the last officer with a key go: nobody could ever be enrolled again."""
    keys = staff.current_keys(connection)
    officers = {
        one.id
        for one in staff.list_people(connection)
        if one.active and one.id in keys and may(custody.policy, one, OFFICER)
    }
    if officers == {leaving.id}:
        raise refusal(leaving.shown, "enrolment_needs_officer")


def unlock_token(officer: Signer, staff_id: UUID, *, installation: UUID, at: datetime) -> str:
    """Return an officer's word that a person locked out of voting may vote again."""
    own = {"staff": show_id(STAFF, staff_id)}
    return make_token(officer, UNLOCK, own, installation=installation, at=at)


def unlock(custody: Custody, actor: Actor, token: str) -> UUID:
    """End the lock that failed votes brought upon a person; another officer signs for it.

    Raises:
        RefusedError: With every reason.
    """
    statement = parse_token(token, UNLOCK, installation=custody.installation_id)
    staff_id = read_id(STAFF, statement.own("staff"))
    with transaction(custody.data) as connection:
        people = staff.lock_people(connection, {staff_id, statement.sub})
        person = _require_person(people, staff_id)
        officer, reasons = verify_person(connection, custody, statement, people=people)
        reasons += _officer_reasons(custody, officer, person)
        reasons += [] if reasons else use_up(connection, custody, statement)
        if reasons:
            raise RefusedError(person.shown, tuple(reasons))
        cleared = staff.clear_vote_failures(connection, staff_id, custody.now())
        facts: dict[str, object] = {"staff": person.shown, "failures": cleared, "token": token}
        record(connection, custody, signed_by(officer, actor), "staff:vote:unlocked", facts)
    return staff_id


def list_staff(custody: Custody) -> list[tuple[Person, str]]:
    """Return everybody with the id of the current key, empty for who has none."""
    with transaction(custody.data) as connection:
        keys = staff.current_keys(connection)
        return [(person, keys.get(person.id, "")) for person in staff.list_people(connection)]


def find_staff(custody: Custody, staff_id: UUID) -> Person:
    """Return one member of staff.

    Raises:
        UsageError: There is none with this id.
    """
    with transaction(custody.data) as connection:
        person = staff.find_person(connection, staff_id)
    return _require_person({staff_id: person} if person else {}, staff_id)


def require_key_owner(custody: Custody, kid: str) -> Person:
    """Return whose key this is.

    Raises:
        RefusedError: It is enrolled for nobody.
    """
    with transaction(custody.data) as connection:
        owner = staff.owner_of_key(connection, kid)
        person = staff.find_person(connection, owner) if owner else None
    if person is None:
        raise refusal(kid, "enrolment_needs_officer")
    return person


def _require_person(people: dict[UUID, Person], staff_id: UUID) -> Person:
    person = people.get(staff_id)
    if person is None:
        raise UsageError("no such member of staff", show_id(STAFF, staff_id))
    return person


def _key_reasons(connection: Connection, person: Person, public_key: bytes) -> list[Reason]:
    """Steps 2 and 3: who left gets no key, and one key never speaks for two accounts."""
    reasons = []
    if not person.active:
        reasons.append(Reason(code="staff_inactive", about=person.shown))
    known = staff.is_known_key(connection, kid_of(public_key), public_key)
    if known or len(public_key) != _KEY_BYTES:
        reasons.append(Reason(code="signature_invalid", about="key"))
    return reasons


def _first_officer_reasons(
    connection: Connection, custody: Custody, person: Person
) -> list[Reason]:
    """Step 4, at the beginning: two officers, one key each; then never again."""
    first = staff.count_enrolled_themselves(connection) < FIRST_OFFICERS
    has_key = person.id in staff.current_keys(connection)
    if first and not has_key and may(custody.policy, person, OFFICER):
        return []
    return [Reason(code="enrolment_needs_officer", about=person.shown)]


def _vouch(
    connection: Connection,
    custody: Custody,
    statement: Statement,
    people: dict[UUID, Person],
    person: Person,
    kid: str,
) -> tuple[Person, list[Reason]]:
    """Step 4: another officer's signature over exactly this person, key and role."""
    officer, reasons = verify_person(connection, custody, statement, people=people)
    reasons += _officer_reasons(custody, officer, person)
    said = tuple(map(statement.own, ("staff", "key", "role")))
    if said != (person.shown, kid, person.role):
        reasons.append(Reason(code="digest_mismatch", about=person.shown))
    return officer, reasons or use_up(connection, custody, statement)


def _officer_reasons(custody: Custody, officer: Person, person: Person) -> list[Reason]:
    reasons = [
        reason
        for reason in person_reasons(custody.policy, officer, OFFICER)
        if reason.code != "staff_inactive"
    ]
    if officer.id == person.id:
        reasons.append(Reason(code="enrolment_needs_officer", about=person.shown))
    return reasons
