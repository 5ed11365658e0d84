"""Who says so: people established by signature, inside the transaction that acts on what they say.

Two kinds of key speak. A person's **long-term key** votes, enrols others and opens sessions; a
**session key**, which the long-term key vouched for, signs requests and reads. Either way:

1. the statement is parsed strictly; 2. the person is locked (design §7: staff before requests)
and the key loaded; 3. the signature is verified. To here the first failure ends it. Then all
reasons are gathered: 4. the person works here, the key is not revoked, the session runs; 5. the
statement is of now. 6. The statement is used up.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.approval import Digest
from custody.database import staff
from custody.database.staff import SessionRow
from custody.errors import Reason, RefusedError
from custody.identifiers import SESSION, IdentifierInvalidError, read_id
from custody.people import Person
from custody.statements import (
    ACT,
    MOST_SECONDS,
    Statement,
    parse_token,
    require_signature,
    time_reasons,
)

Locking: TypeAlias = Callable[[Connection, Iterable[UUID]], dict[UUID, Person]]


def verify_person(
    connection: Connection,
    custody: Custody,
    statement: Statement,
    *,
    people: dict[UUID, Person],
    most: int = MOST_SECONDS,
) -> tuple[Person, list[Reason]]:
    """Verify a statement signed with a long-term key (steps 2 to 5).

    The signer is among ``people``, who are locked; ``most`` is how many seconds such a statement
    may last.

    Returns:
        The signer, and every reason of steps 4 and 5 why the statement does not count.

    Raises:
        RefusedError: Nobody has that key, or it did not sign.
    """
    person = people.get(statement.sub)
    key = staff.find_key(connection, statement.sub, statement.kid)
    if person is None or key is None:
        raise refusal("statement", "signature_invalid")
    require_signature(statement, bytes(key.public_key))
    reasons = _activity(person)
    if key.revoked_at is not None:
        reasons.append(Reason(code="signature_invalid", about="revoked"))
    return person, reasons + time_reasons(statement, custody.now(), most=most)


def verify_session(
    connection: Connection, custody: Custody, token: str, *, act: str, digest: Digest
) -> Person:
    """Return who did ``act`` on ``digest``, as the session's signature proves it (steps 1 to 6).

    The person stays locked against leaving until the transaction ends.

    Raises:
        RefusedError: With every reason.
    """
    statement = parse_token(token, ACT, installation=custody.installation_id)
    person = staff.share_people(connection, [statement.sub]).get(statement.sub)
    session = _find_session(connection, statement)
    if person is None or session is None or session.staff_id != statement.sub:
        raise refusal("statement", "signature_invalid")
    require_signature(statement, bytes(session.public_key))
    reasons = [
        *_activity(person),
        *_session_reasons(session, custody.now()),
        *time_reasons(statement, custody.now()),
    ]
    if (statement.own("act"), statement.own("dig")) != (act, str(digest)):
        reasons.append(Reason(code="digest_mismatch", about=act))
    if not reasons:
        reasons += use_up(connection, custody, statement)
    if reasons:
        raise RefusedError(person.shown, tuple(reasons))
    return person


def session_reasons(connection: Connection, custody: Custody, token: str) -> list[Reason]:
    """Return why the session behind a verified token no longer runs, and lock it if it does."""
    statement = parse_token(token, ACT, installation=custody.installation_id)
    person = staff.share_people(connection, [statement.sub])[statement.sub]
    session = _find_session(connection, statement)
    if session is None:
        return [Reason(code="session_expired")]
    return [*_activity(person), *_session_reasons(session, custody.now())]


def use_up(connection: Connection, custody: Custody, statement: Statement) -> list[Reason]:
    """Mark the statement used; return a reason if it was used before (step 6)."""
    until = datetime.fromtimestamp(statement.exp, UTC)
    fresh = staff.burn(connection, statement.jti, until, custody.now())
    return [] if fresh else [Reason(code="statement_invalid", about="jti")]


def signed_by(person: Person, actor: Actor) -> Actor:
    """Return the actor of an act that the person's signature established."""
    return replace(actor, how="signed", name=person.shown)


def refusal(subject: str, code: str, about: str = "") -> RefusedError:
    """Return a refusal with one reason."""
    return RefusedError(subject, (Reason(code=code, about=about),))


def _activity(person: Person) -> list[Reason]:
    return [] if person.active else [Reason(code="staff_inactive", about=person.shown)]


def _find_session(connection: Connection, statement: Statement) -> SessionRow | None:
    try:
        return staff.find_session(connection, read_id(SESSION, statement.kid))
    except IdentifierInvalidError:
        return None


def _session_reasons(session: SessionRow, at: datetime) -> list[Reason]:
    reasons = []
    if not session.issued_at <= at < session.expires_at:
        reasons.append(Reason(code="session_expired"))
    if session.ended_at is not None:
        reasons.append(Reason(code="session_expired", about="ended"))
    if session.revoked_at is not None:
        reasons.append(Reason(code="session_expired", about="key revoked"))
    return reasons
