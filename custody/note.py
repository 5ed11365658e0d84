r"""Signed notes: text that keys have signed, in the form of C2SP's ``signed-note`` v1.

    text, each line ended by a newline
    <empty line>
    — <name> base64(key id, 4 bytes ‖ signature)          one or more

    key id = SHA-256(name ‖ "\n" ‖ kind ‖ public key)[:4]
    verifier key = <name>+<key id in hexadecimal>+base64(kind ‖ public key)

Kind 0x01 is Ed25519 over the text. Kind 0x04 is a witness's cosignature (C2SP
``tlog-cosignature``): eight bytes of POSIX time, big-endian, then Ed25519 over
``cosignature/v1\ntime <seconds>\n`` and the text. A note holds no control characters, so no other
text that custody signs (each begins with a name and a zero byte) can be taken for one.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custody.errors import CustodyError

SIGNATURE: Final = 0x01
COSIGNATURE: Final = 0x04
MOST_BYTES: Final = 64 * 1024
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"[^\s+\x00-\x1f]+")
_SIGNATURE_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteInvalidError(CustodyError):
    """A note is not in form, or not signed by the key that should have signed it."""

    code = "checkpoint_invalid"

    def __init__(self, what: str, about: str = "") -> None:
        super().__init__(what, about)
        self.what, self.about = what, about

    def __str__(self) -> str:
        """Return what is wrong, and with whose key."""
        return f"{self.what}: {self.about}" if self.about else self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifierKey:
    """A public key as others are given it: a name, what it signs, 32 bytes of Ed25519."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def of(cls, name: str, kind: int, private: Ed25519PrivateKey) -> Self:
        """Return the public half of a key under a name."""
        return cls(name=name, kind=kind, public=private.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key from its one line of text.

        Raises:
            NoteInvalidError: It is not one, or its parts contradict each other.
        """
        name, _, rest = text.partition("+")
        shown, _, encoded = rest.partition("+")
        whole = from_base64(encoded)
        if not _NAME.fullmatch(name) or len(whole) != 1 + _KEY_BYTES:
            raise NoteInvalidError("not a verifier key")
        found = cls(name=name, kind=whole[0], public=whole[1:])
        if found.key_id.hex() != shown or found.kind not in {SIGNATURE, COSIGNATURE}:
            raise NoteInvalidError("not a verifier key")
        return found

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key beside its name."""
        whole = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return sha256(whole).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """Return the key in one line of text."""
        encoded = b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A text with its signature lines, of which nothing is verified yet."""

    text: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return the note as it is written."""
        return self.text + "\n" + "".join(f"{line}\n" for line in self.lines)


def parse_note(written: bytes) -> Note:
    """Read a note.

    Raises:
        NoteInvalidError: It is not in form.
    """
    if len(written) > MOST_BYTES:
        raise NoteInvalidError("a note is not that long")
    try:
        whole = written.decode()
    except UnicodeDecodeError:
        raise NoteInvalidError("not a signed note") from None
    text, blank, signatures = whole.rpartition("\n\n")
    lines = tuple(signatures.split("\n")[:-1])
    if not (blank and text and lines and signatures.endswith("\n")) or _CONTROL.search(whole):
        raise NoteInvalidError("not a signed note")
    if not all(_SIGNATURE_LINE.fullmatch(line) for line in lines):
        raise NoteInvalidError("not a signed note")
    return Note(text=text + "\n", lines=lines)


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> Note:
    """Return a text signed under a name."""
    key = VerifierKey.of(name, SIGNATURE, private)
    return Note(text=text, lines=(_line(key, private.sign(text.encode())),))


def cosign(note: Note, name: str, private: Ed25519PrivateKey, at: datetime) -> str:
    """Return the line with which a witness says that it saw a note at an instant."""
    seconds = int(at.timestamp())
    key = VerifierKey.of(name, COSIGNATURE, private)
    signature = private.sign(_cosigned(seconds, note.text))
    return _line(key, seconds.to_bytes(_TIME_BYTES) + signature)


def require_signed(note: Note, key: VerifierKey) -> str:
    """Check that a key has signed a note, and return the line with which it did.

    Raises:
        NoteInvalidError: It has not.
    """
    for line, signature in _signatures_of(note, key):
        if _is_good(key, signature, note.text.encode()):
            return line
    raise NoteInvalidError("not signed by the key", key.name)


def cosigned_at(note: Note, key: VerifierKey) -> datetime:
    """Return when a witness says that it saw a note; the last time, where it says so often.

    Raises:
        NoteInvalidError: It says no such thing.
    """
    times = []
    for _, whole in _signatures_of(note, key):
        seconds = int.from_bytes(whole[:_TIME_BYTES])
        if _is_good(key, whole[_TIME_BYTES:], _cosigned(seconds, note.text)):
            times.append(seconds)
    try:
        return datetime.fromtimestamp(max(times), UTC)
    except (OverflowError, ValueError, OSError):
        raise NoteInvalidError("not cosigned by the key", key.name) from None


def _cosigned(seconds: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _line(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {b64encode(key.key_id + signature).decode()}"


def _signatures_of(note: Note, key: VerifierKey) -> Iterator[tuple[str, bytes]]:
    """Yield each line that names a key, with what it holds behind the key's id.

    Anybody can add such a line to a note, so one that is not the key's says nothing.
    """
    for line in note.lines:
        _, name, encoded = line.split(" ")
        whole = from_base64(encoded)
        if name == key.name and whole[:_ID_BYTES] == key.key_id:
            yield line, whole[_ID_BYTES:]


def _is_good(key: VerifierKey, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def from_base64(shown: str) -> bytes:
    """Return the bytes of base64 in the one way to write them; none where it is not that."""
    try:
        found = b64decode(shown, validate=True)
    except (Base64Error, ValueError):
        return b""
    return found if b64encode(found).decode() == shown else b""
