"""Statements on staff, their keys, sessions, used statements and failed votes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from custody.identifiers import SESSION, STAFF, read_id
from custody.people import Person

_ENROLMENT: Final = 0x637573_03  # "cus" 3: one enrolment at a time

_PERSON = "id, name, department, role, state"
_ADD = text(
    "INSERT INTO staff (id, name, department, role, added_at, added_by)"
    " VALUES (:id, :name, :department, :role, :at, :by)"
)
_FIND = text(f"SELECT {_PERSON} FROM staff WHERE id = :id")  # noqa: S608
_LIST = text(f"SELECT {_PERSON} FROM staff ORDER BY id")  # noqa: S608
_LOCK = text(f"SELECT {_PERSON} FROM staff WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")  # noqa: S608
_SHARE = text(f"SELECT {_PERSON} FROM staff WHERE id = ANY(:ids) ORDER BY id FOR SHARE")  # noqa: S608
_DEACTIVATE = text("UPDATE staff SET state = 'inactive' WHERE id = :id AND state = 'active'")
_KEY = text(
    "SELECT kid, staff_id, public_key, revoked_at FROM staff_keys"
    " WHERE staff_id = :sub AND kid = :kid FOR SHARE"
)
_ANY_KEY = text("SELECT public_key FROM staff_keys WHERE staff_id = :id AND kid = :kid")
_ANY_SESSION_KEY = text(
    "SELECT public_key, statement FROM sessions WHERE staff_id = :id AND id = :session"
)
_OWNER = text("SELECT staff_id FROM staff_keys WHERE kid = :kid AND revoked_at IS NULL")
_KEYS = text("SELECT staff_id, kid FROM staff_keys WHERE revoked_at IS NULL")
_ENROLLED_THEMSELVES = text("SELECT count(*) FROM staff_keys WHERE enrolled_by IS NULL")
_KNOWN_KEY = text("SELECT count(*) FROM staff_keys WHERE kid = :kid OR public_key = :public_key")
_REVOKE = text("UPDATE staff_keys SET revoked_at = :at WHERE staff_id = :id AND revoked_at IS NULL")
_ADD_KEY = text(
    "INSERT INTO staff_keys (kid, staff_id, public_key, enrolled_at, enrolled_by, statement)"
    " VALUES (:kid, :staff_id, :public_key, :at, :by, :statement)"
)
_ADD_SESSION = text(
    "INSERT INTO sessions (id, staff_id, kid, public_key, statement, issued_at, expires_at)"
    " VALUES (:id, :staff_id, :kid, :public_key, :statement, :issued_at, :expires_at)"
)
_SESSION = text(
    "SELECT s.id, s.staff_id, s.public_key, s.issued_at, s.expires_at, s.ended_at, k.revoked_at"
    " FROM sessions s JOIN staff_keys k USING (kid) WHERE s.id = :id FOR SHARE"
)
_END = text("UPDATE sessions SET ended_at = :at WHERE id = :id AND ended_at IS NULL")
_END_ALL = text("UPDATE sessions SET ended_at = :at WHERE staff_id = :staff AND ended_at IS NULL")
_BURN = text(
    "INSERT INTO burnt_statements (jti, until) VALUES (:jti, :until) ON CONFLICT (jti) DO NOTHING"
)
_FORGET_BURNT = text("DELETE FROM burnt_statements WHERE until < :before")
_FAILURES = text(
    "SELECT at FROM vote_failures WHERE staff_id = :staff AND cleared_at IS NULL ORDER BY at, id"
)
_ADD_FAILURE = text("INSERT INTO vote_failures (staff_id, at, code) VALUES (:staff, :at, :code)")
_CLEAR_FAILURES = text(
    "UPDATE vote_failures SET cleared_at = :at WHERE staff_id = :staff AND cleared_at IS NULL"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffKey:
    """A person's public key; revoked once another took its place."""

    kid: str
    staff_id: UUID
    public_key: bytes
    revoked_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """A session as the database holds it; ``revoked_at`` is that of the key that opened it."""

    id: UUID
    staff_id: UUID
    public_key: bytes
    issued_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    revoked_at: datetime | None


def add_person(connection: Connection, person: Person, at: datetime, by: str) -> None:
    """Add a member of staff, who can do nothing before a key is enrolled."""
    row = {"id": person.id, "name": person.name, "department": person.department}
    connection.execute(_ADD, row | {"role": person.role, "at": at, "by": by})


def find_person(connection: Connection, staff_id: UUID) -> Person | None:
    """Return the member of staff, None if there is none."""
    row = connection.execute(_FIND, {"id": staff_id}).mappings().one_or_none()
    return None if row is None else Person(**row)


def list_people(connection: Connection) -> list[Person]:
    """Return every member of staff, those who left too."""
    return [Person(**row) for row in connection.execute(_LIST).mappings()]


def lock_people(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Lock members of staff in order of id, against everything that looks at them."""
    rows = connection.execute(_LOCK, {"ids": list(ids)}).mappings()
    return {row["id"]: Person(**row) for row in rows}


def share_people(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Lock members of staff in order of id against leaving; others may do the same meanwhile."""
    rows = connection.execute(_SHARE, {"ids": list(ids)}).mappings()
    return {row["id"]: Person(**row) for row in rows}


def deactivate(connection: Connection, staff_id: UUID) -> bool:
    """Mark a locked person as gone; False if that was so already."""
    return bool(connection.execute(_DEACTIVATE, {"id": staff_id}).rowcount)


def find_key(connection: Connection, staff_id: UUID, kid: str) -> StaffKey | None:
    """Return the key that ``kid`` names, if it is this person's, and lock it."""
    row = connection.execute(_KEY, {"sub": staff_id, "kid": kid}).mappings().one_or_none()
    return None if row is None else StaffKey(**row)


def owner_of_key(connection: Connection, kid: str) -> UUID | None:
    """Return whose key this is, None if nobody's."""
    found: UUID | None = connection.execute(_OWNER, {"kid": kid}).scalar_one_or_none()
    return found


def current_keys(connection: Connection) -> dict[UUID, str]:
    """Return the key id of everybody who is enrolled."""
    return {row.staff_id: row.kid for row in connection.execute(_KEYS)}


def lock_enrolment(connection: Connection) -> None:
    """Wait until this transaction is the only one that enrols."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ENROLMENT})


def count_enrolled_themselves(connection: Connection) -> int:
    """Return how many keys were ever enrolled without another officer."""
    return int(connection.execute(_ENROLLED_THEMSELVES).scalar_one())


def is_known_key(connection: Connection, kid: str, public_key: bytes) -> bool:
    """Whether the key was enrolled before, for anybody."""
    row = {"kid": kid, "public_key": public_key}
    return bool(connection.execute(_KNOWN_KEY, row).scalar_one())


def add_key(  # noqa: PLR0913 - one row's columns
    connection: Connection,
    *,
    kid: str,
    staff_id: UUID,
    public_key: bytes,
    by: UUID | None,
    statement: str,
    at: datetime,
) -> None:
    """Add a person's key; the one before is revoked and its sessions end."""
    connection.execute(_REVOKE, {"id": staff_id, "at": at})
    connection.execute(_END_ALL, {"staff": staff_id, "at": at})
    row = {"kid": kid, "staff_id": staff_id, "public_key": public_key, "by": by}
    connection.execute(_ADD_KEY, row | {"statement": statement, "at": at})


def add_session(connection: Connection, session: SessionRow, kid: str, statement: str) -> None:
    """Add the session that the key ``kid`` opened by ``statement``."""
    row = {name: getattr(session, name) for name in SessionRow.__dataclass_fields__}
    connection.execute(_ADD_SESSION, row | {"kid": kid, "statement": statement})


def find_session(connection: Connection, session_id: UUID) -> SessionRow | None:
    """Return the session and lock it against its end."""
    row = connection.execute(_SESSION, {"id": session_id}).mappings().one_or_none()
    return None if row is None else SessionRow(**row)


def end_session(connection: Connection, session_id: UUID, at: datetime) -> bool:
    """End a session; False if it had ended already."""
    return bool(connection.execute(_END, {"id": session_id, "at": at}).rowcount)


def end_sessions_of(connection: Connection, staff_id: UUID, at: datetime) -> int:
    """End every session of a person and return how many there were."""
    return connection.execute(_END_ALL, {"staff": staff_id, "at": at}).rowcount


def burn(connection: Connection, jti: str, until: datetime, at: datetime) -> bool:
    """Use up a statement; False if it was used before. Marks no longer needed are dropped."""
    connection.execute(_FORGET_BURNT, {"before": at})
    return bool(connection.execute(_BURN, {"jti": jti, "until": until}).rowcount)


def vote_failures(connection: Connection, staff_id: UUID) -> list[datetime]:
    """Return when the person's votes failed, oldest first, without those an officer cleared."""
    return list(connection.execute(_FAILURES, {"staff": staff_id}).scalars())


def add_vote_failure(connection: Connection, staff_id: UUID, at: datetime, code: str) -> None:
    """Count one failed vote against a person."""
    connection.execute(_ADD_FAILURE, {"staff": staff_id, "at": at, "code": code})


def clear_vote_failures(connection: Connection, staff_id: UUID, at: datetime) -> int:
    """Clear a person's failed votes, which end the lock but stay on record."""
    return connection.execute(_CLEAR_FAILURES, {"staff": staff_id, "at": at}).rowcount


def any_public_key(connection: Connection, sub: str, kid: str) -> tuple[bytes, str]:
    """Return the public key that a statement names, also one that is revoked or ended.

    Args:
        sub: Who signed, ``staff_…``.
        kid: The key's id, or ``ses_…``.

    Returns:
        The key, and the statement that vouched for it where it is a session's. Both are empty where
        there is no such key.
    """
    person = read_id(STAFF, sub)
    if kid.startswith(f"{SESSION}_"):
        asked = {"id": person, "session": read_id(SESSION, kid)}
        row = connection.execute(_ANY_SESSION_KEY, asked).one_or_none()
        return (b"", "") if row is None else (bytes(row.public_key), row.statement)
    found = connection.execute(_ANY_KEY, {"id": person, "kid": kid}).scalar_one_or_none()
    return (b"" if found is None else bytes(found)), ""
