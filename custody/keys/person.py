"""A person's key file: an Ed25519 private key under a passphrase; it stays with the person.

Format, version 1, 128 bytes, integers big-endian::

    offset  size  content
         0     8  "CUSTODYP"
         8     1  format version, 1
         9     1  suite (1: Argon2id, AES-256-GCM)
        10     2  lanes
        12     4  iterations
        16     4  memory, KiB
        20    16  salt
        36    12  nonce, random
        48    32  public key, raw
        80    48  private seed, encrypted (32), and tag (16)

Argon2id (RFC 9106) turns passphrase and salt into the key that encrypts the private seed; bytes 0
to 79 are its associated data, so that no parameter and no public key can be exchanged.

A key is called by its **kid**: the first 32 hexadecimal digits of SHA-256 over
``"custody/kid/v1" ‖ 0x00 ‖ public key``.
"""

import hashlib
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from custody.errors import CustodyError, UsageError
from custody.statements import Signer

MAGIC: Final = b"CUSTODYP"
VERSION: Final = 1
SUITE: Final = 1
KEY_BYTES: Final = 32
KID_DIGITS: Final = 32
_MOST_PASSES: Final = 64
_MOST_MEMORY_KIB: Final = 1024 * 1024
_HEADER: Final = struct.Struct(">8sBBHII16s12s32s")
_FILE_BYTES: Final = _HEADER.size + KEY_BYTES + 16


class PersonKeyError(CustodyError):
    """The key file does not open: the passphrase is wrong, or it is not such a file.

    Which of the two is not said: whoever guesses passphrases learns nothing from it.
    """

    code = "person_key"

    def __str__(self) -> str:
        """Return the one message there is."""
        return "the key file does not open: wrong passphrase, or not a key file of custody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a guess at the passphrase costs (RFC 9106, second recommended option by default)."""

    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    @property
    def bearable(self) -> bool:
        """Whether a file that asks for this much is worth an attempt."""
        return (
            1 <= self.iterations <= _MOST_PASSES
            and 1 <= self.lanes <= _MOST_PASSES
            and 8 * self.lanes <= self.memory_kib <= _MOST_MEMORY_KIB
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonKey:
    """A person's long-term key, opened."""

    private: Ed25519PrivateKey = field(repr=False)
    public: bytes

    @property
    def kid(self) -> str:
        """The key's id."""
        return kid_of(self.public)

    def signer(self, staff_id: UUID) -> Signer:
        """Return the key as the signer of a member of staff."""
        return Signer(sub=staff_id, kid=self.kid, sign=self.private.sign)


def kid_of(public_key: bytes) -> str:
    """Return the id of a raw public key."""
    return hashlib.sha256(b"custody/kid/v1\0" + public_key).hexdigest()[:KID_DIGITS]


def create_person_key(path: Path, passphrase: bytes, cost: Cost | None = None) -> PersonKey:
    """Make a new key and write its file, readable by its owner alone.

    Raises:
        UsageError: Something is there already, or the passphrase is empty.
    """
    if not passphrase:
        raise UsageError("a key file needs a passphrase")
    key = _from_private(Ed25519PrivateKey.generate())
    content = _encode(key, passphrase, cost or Cost())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        raise UsageError("the key file cannot be made, or is there already") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return key


def open_person_key(path: Path, passphrase: bytes) -> PersonKey:
    """Open a key file.

    Raises:
        UsageError: There is no such file.
        PersonKeyError: The passphrase is wrong or any byte of the file is not the original one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
    except OSError:
        raise UsageError("there is no such key file, or it cannot be read") from None
    return _decode(content, passphrase)


def _encode(key: PersonKey, passphrase: bytes, cost: Cost) -> bytes:
    salt, nonce = os.urandom(16), os.urandom(12)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        SUITE,
        cost.lanes,
        cost.iterations,
        cost.memory_kib,
        salt,
        nonce,
        key.public,
    )
    sealed = _cipher(passphrase, salt, cost).encrypt(nonce, key.private.private_bytes_raw(), header)
    return header + sealed


def _decode(content: bytes, passphrase: bytes) -> PersonKey:
    if len(content) != _FILE_BYTES:
        raise PersonKeyError
    header, sealed = content[: _HEADER.size], content[_HEADER.size :]
    magic, version, suite, lanes, iterations, memory, salt, nonce, public = _HEADER.unpack(header)
    cost = Cost(lanes=lanes, iterations=iterations, memory_kib=memory)
    known = (magic, version, suite) == (MAGIC, VERSION, SUITE)
    if not known or not cost.bearable:
        raise PersonKeyError
    try:
        seed = _cipher(passphrase, salt, cost).decrypt(nonce, sealed, header)
        key = _from_private(Ed25519PrivateKey.from_private_bytes(seed))
    except (InvalidTag, ValueError):
        raise PersonKeyError from None
    if key.public != public:
        raise PersonKeyError
    return key


def _cipher(passphrase: bytes, salt: bytes, cost: Cost) -> AESGCM:
    derive = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return AESGCM(derive.derive(passphrase))


def _from_private(private: Ed25519PrivateKey) -> PersonKey:
    return PersonKey(private=private, public=private.public_key().public_bytes_raw())
