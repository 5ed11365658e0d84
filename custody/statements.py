"""Signed statements: what a person says, in canonical JSON, signed with an Ed25519 key (RFC 8032).

A token, the form in which a statement travels, is at most 2,048 ASCII characters::

    base64url(statement) "." base64url(signature)         without padding

``statement`` is canonical JSON (:mod:`custody.canonical`) with exactly the fields of its type; the
signature covers ``"custody/<typ>/v1" ‖ 0x00 ‖ statement``, so that a statement of one type is never
one of another. Every type has these fields, all strings but the integers marked n:

    v n      format version, 1          sub   who speaks, staff_…
    typ      the type                   kid   the key that signs
    aud      the installation, inst_…   iat n issued at, seconds since 1970
    jti      makes it usable once       exp n not to be used after it

and of its own:

    approval  rid request, rev n revision, dig digest of the request, dec approve | reject
    enrol     staff whom, key digest of the public key, role the role confirmed
    unlock    staff whose lock ends
    session   key public half of the session's key
    act       act what is done, dig digest of what is asked

Where a digest is not by SHA-256 its text says by which hash it is
(:class:`custody.approval.Digest`).
"""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custody.canonical import CanonicalError, canonical, parse_canonical
from custody.errors import Reason, RefusedError
from custody.identifiers import INSTALLATION, STAFF, IdentifierInvalidError, read_id, show_id

VERSION: Final = 1
MOST_CHARACTERS: Final = 2048
MOST_SECONDS: Final = 600
SKEW_SECONDS: Final = 60
APPROVAL: Final = "approval"
ENROL: Final = "enrol"
UNLOCK: Final = "unlock"
SESSION: Final = "session"
ACT: Final = "act"
_JTI_BYTES: Final = 16
_LONGEST: Final = 200
_COMMON: Final = frozenset({"v", "typ", "aud", "sub", "kid", "iat", "exp", "jti"})
_OWN: Final[Mapping[str, frozenset[str]]] = {
    APPROVAL: frozenset({"rid", "rev", "dig", "dec"}),
    ENROL: frozenset({"staff", "key", "role"}),
    UNLOCK: frozenset({"staff"}),
    SESSION: frozenset({"key"}),
    ACT: frozenset({"act", "dig"}),
}
_NUMBERS: Final = frozenset({"v", "iat", "exp", "rev"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A parsed statement; nothing in it is true before its signature is verified.

    Attributes:
        fields: All fields; those of :attr:`own` are strings, except ``rev``.
        text: The canonical bytes that were signed.
    """

    typ: str
    sub: UUID
    kid: str
    iat: int
    exp: int
    jti: str
    fields: Mapping[str, str | int]
    text: bytes
    signature: bytes

    def own(self, name: str) -> str:
        """Return one of the strings that only this type has."""
        return str(self.fields[name])


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """Whoever signs: a person with the long-term key, or a session with its own.

    Attributes:
        sub: The member of staff who speaks.
        kid: The id of the key, or of the session, that signs.
        sign: Returns the Ed25519 signature over bytes.
    """

    sub: UUID
    kid: str
    sign: Callable[[bytes], bytes]


def make_token(
    signer: Signer,
    typ: str,
    own: Mapping[str, str | int],
    *,
    installation: UUID,
    at: datetime,
    lasts: timedelta = timedelta(seconds=MOST_SECONDS),
) -> str:
    """Return a signed statement as a token.

    ``own`` are the fields that only this type has; it may be used from ``at`` for as long as it
    ``lasts``.
    """
    issued = int(at.timestamp())
    fields = {
        "v": VERSION,
        "typ": typ,
        "aud": show_id(INSTALLATION, installation),
        "sub": show_id(STAFF, signer.sub),
        "kid": signer.kid,
        "iat": issued,
        "exp": issued + int(lasts.total_seconds()),
        "jti": secrets.token_hex(_JTI_BYTES),
        **own,
    }
    text = canonical(fields)
    return f"{encode(text)}.{encode(signer.sign(_signed_bytes(typ, text)))}"


def parse_token(token: str, typ: str, *, installation: UUID) -> Statement:
    """Return the statement inside a token, strictly: any other form than ours is refused.

    Raises:
        RefusedError: It is not a statement of this type made for this installation.
    """
    if len(token) > MOST_CHARACTERS or token.count(".") != 1:
        raise _invalid()
    text, signature = map(decode, token.split("."))
    try:
        fields = parse_canonical(text)
    except (CanonicalError, UnicodeDecodeError):
        raise _invalid() from None
    _require_shape(fields, typ, installation)
    try:
        sub = read_id(STAFF, fields["sub"])
    except IdentifierInvalidError:
        raise _invalid() from None
    return Statement(
        typ=typ,
        sub=sub,
        kid=fields["kid"],
        iat=fields["iat"],
        exp=fields["exp"],
        jti=fields["jti"],
        fields=fields,
        text=text,
        signature=signature,
    )


def require_signature(statement: Statement, public_key: bytes) -> None:
    """Verify the signature under a raw public key.

    Raises:
        RefusedError: The key did not sign these bytes as this type of statement.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(statement.signature, _signed_bytes(statement.typ, statement.text))
    except (InvalidSignature, ValueError):
        raise RefusedError("statement", (Reason(code="signature_invalid"),)) from None


def time_reasons(statement: Statement, at: datetime, *, most: int = MOST_SECONDS) -> list[Reason]:
    """Return why a statement may not be used at ``at``: too early, too late, or too long-lived.

    ``iat - 60 s <= at <= exp`` and ``iat <= exp <= iat + most``: a clock may be a minute wrong.
    """
    reasons = []
    if not statement.iat <= statement.exp <= statement.iat + most:
        reasons.append(Reason(code="statement_invalid", about="exp"))
    now = int(at.timestamp())
    if not statement.iat - SKEW_SECONDS <= now <= statement.exp:
        reasons.append(Reason(code="statement_expired"))
    return reasons


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return what base64url without padding encodes, in its one canonical spelling.

    Raises:
        RefusedError: It is not base64url, padded, or has stray bits at its end.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if encode(raw) != text:
        raise _invalid()
    return raw


def _signed_bytes(typ: str, text: bytes) -> bytes:
    return f"custody/{typ}/v{VERSION}\0".encode() + text


def _require_shape(fields: object, typ: str, installation: UUID) -> None:
    if not isinstance(fields, dict) or fields.keys() != _COMMON | _OWN[typ]:
        raise _invalid()
    for name, value in fields.items():
        fits = type(value) is int if name in _NUMBERS else _is_short_text(value)
        if not fits:
            raise _invalid(name)
    expected = {"v": VERSION, "typ": typ, "aud": show_id(INSTALLATION, installation)}
    for name, value in expected.items():
        if fields[name] != value:
            raise _invalid(name)


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST


def _invalid(about: str = "") -> RefusedError:
    return RefusedError("statement", (Reason(code="statement_invalid", about=about),))
