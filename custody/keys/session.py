"""A session's key on the person's own computer: a file for a working day, readable by its owner.

JSON, format 1: installation, session, staff, expires_at, and key, the private seed in hexadecimal.
It lies there in clear, because it must work without the passphrase; it ends by itself after the
policy's session minutes and when the person leaves, and it can neither vote nor enrol.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.errors import UsageError
from custody.identifiers import INSTALLATION, SESSION, STAFF, read_id, show_id
from custody.statements import Signer

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionKey:
    """A session, with the key that signs in it."""

    installation: UUID
    session_id: UUID
    staff_id: UUID
    expires_at: datetime
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def signer(self) -> Signer:
        """The session as a signer: its id is the key id."""
        shown = show_id(SESSION, self.session_id)
        return Signer(sub=self.staff_id, kid=shown, sign=self.private.sign)


def write_session(path: Path, session: SessionKey) -> None:
    """Write the session's file in place of an earlier one."""
    document = {
        "format": FORMAT,
        "installation": show_id(INSTALLATION, session.installation),
        "session": show_id(SESSION, session.session_id),
        "staff": show_id(STAFF, session.staff_id),
        "expires_at": session.expires_at.isoformat(),
        "key": session.private.private_bytes_raw().hex(),
    }
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(document, file)
    beside.replace(path)


def read_session(path: Path) -> SessionKey:
    """Return the session of a file; whether it is still in force only custody's database says.

    Raises:
        UsageError: There is no session there: log in.
    """
    try:
        return _session(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        raise UsageError("no session: log in first") from None


def forget_session(path: Path) -> None:
    """Remove the session's file; running it again is success."""
    path.unlink(missing_ok=True)


def _session(document: dict[str, Any]) -> SessionKey:
    if document["format"] != FORMAT:
        raise KeyError(FORMAT)
    return SessionKey(
        installation=read_id(INSTALLATION, document["installation"]),
        session_id=read_id(SESSION, document["session"]),
        staff_id=read_id(STAFF, document["staff"]),
        expires_at=datetime.fromisoformat(document["expires_at"]),
        private=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(document["key"])),
    )
