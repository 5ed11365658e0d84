"""Sessions: a person's key vouches for a key of the day, which signs requests and reads.

What the session key signs is in ``act`` and ``dig`` of its statements; it cannot vote or enrol, for
those are looked up among the long-term keys only.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.acts.context import Actor, Custody
from custody.acts.proof import signed_by, use_up, verify_person
from custody.acts.recording import record
from custody.acts.staff import require_key_owner
from custody.approval import Digest
from custody.database import staff
from custody.database.engine import transaction
from custody.database.staff import SessionRow
from custody.errors import RefusedError
from custody.identifiers import SESSION, show_id, time_ordered_id
from custody.keys.person import PersonKey
from custody.keys.session import SessionKey, forget_session, read_session, write_session
from custody.statements import ACT, decode, encode, make_token, parse_token
from custody.statements import SESSION as SESSION_STATEMENT

_SECONDS_A_MINUTE = 60


def login(custody: Custody, actor: Actor, key: PersonKey, path: Path) -> SessionKey:
    """Open a session for the owner of ``key`` and keep its private key in the file ``path``.

    Raises:
        RefusedError: The key is enrolled for nobody, or its owner may not; with every reason.
    """
    owner = require_key_owner(custody, key.kid)
    private = Ed25519PrivateKey.generate()
    token = make_token(
        key.signer(owner.id),
        SESSION_STATEMENT,
        {"key": encode(private.public_key().public_bytes_raw())},
        installation=custody.installation_id,
        at=custody.now(),
        lasts=timedelta(minutes=custody.policy.settings.session_minutes),
    )
    row = open_session(custody, actor, token)
    session = SessionKey(
        installation=custody.installation_id,
        session_id=row.id,
        staff_id=row.staff_id,
        expires_at=row.expires_at,
        private=private,
    )
    write_session(path, session)
    return session


def open_session(custody: Custody, actor: Actor, token: str) -> SessionRow:
    """Open the session that a long-term key vouches for (steps of :mod:`custody.acts.proof`).

    Raises:
        RefusedError: With every reason.
    """
    statement = parse_token(token, SESSION_STATEMENT, installation=custody.installation_id)
    most = custody.policy.settings.session_minutes * _SECONDS_A_MINUTE
    with transaction(custody.data) as connection:
        people = staff.share_people(connection, [statement.sub])
        person, reasons = verify_person(connection, custody, statement, people=people, most=most)
        reasons = reasons or use_up(connection, custody, statement)
        if reasons:
            raise RefusedError(person.shown, tuple(reasons))
        row = SessionRow(
            id=time_ordered_id(custody.now()),
            staff_id=person.id,
            public_key=decode(statement.own("key")),
            issued_at=custody.now(),
            expires_at=datetime.fromtimestamp(statement.exp, UTC),
            ended_at=None,
            revoked_at=None,
        )
        staff.add_session(connection, row, statement.kid, token)
        facts = {"session": show_id(SESSION, row.id), "kid": statement.kid, "token": token}
        record(connection, custody, signed_by(person, actor), "session:opened", facts)
    return row


def logout(custody: Custody, actor: Actor, path: Path) -> None:
    """End the session of a file and remove the file; running it again is success."""
    session = read_session(path)
    end_session(custody, actor, session.session_id)
    forget_session(path)


def end_session(custody: Custody, actor: Actor, session_id: UUID) -> None:
    """End a session; running it again is success."""
    with transaction(custody.data) as connection:
        if staff.end_session(connection, session_id, custody.now()):
            facts = {"session": show_id(SESSION, session_id)}
            record(connection, custody, actor, "session:ended", facts)


def act_token(session: SessionKey, act: str, digest: Digest, at: datetime) -> str:
    """Return the session's signature under ``act`` on what ``digest`` stands for."""
    own = {"act": act, "dig": str(digest)}
    return make_token(session.signer, ACT, own, installation=session.installation, at=at)
