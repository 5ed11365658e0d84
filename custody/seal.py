"""Seals: authenticated encryption of one compartment under one data key.

A seal, version 1::

    offset  size  content
         0     1  0xC5
         1     1  format version, 1
         2     1  suite (1: AES-256-GCM, commitment by HKDF-SHA-256)
         3     1  reserved, 0
         4    16  key id
        20    16  key commitment
        36    12  nonce, random
        48   n+16 ciphertext and tag

The associated data are bytes 0 to 35 of the header and then the context: each part preceded by its
length as four bytes, big-endian. A seal moved to another installation, customer, dataset, record,
compartment, version or key therefore does not open.

A data key is split once with HKDF-SHA-256 (RFC 5869) into an encryption key and a commitment; the
commitment makes a seal open under one key only, which GCM alone does not promise (Grubbs, Lu,
Ristenpart: Message Franking via Committing Authenticated Encryption, 2017).

A wrapped key is ``version(1) ‖ suite(1) ‖ nonce(12) ‖ ciphertext and tag(48)``, bound to its own
context.
"""

import hmac
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from custody.errors import CustodyError

MAGIC: Final = 0xC5
VERSION: Final = 1
AES_256_GCM: Final = 1
KEY_BYTES: Final = 32
HEADER_BYTES: Final = 48
NONCE_BYTES: Final = 12
_BOUND_BYTES: Final = 36
_HEADER: Final = struct.Struct(">BBBB16s16s12s")
_PREFIX: Final = struct.Struct(">BBBB16s16s")
_WRAP_PREFIX: Final = bytes((VERSION, AES_256_GCM))
_SPLIT_INFO: Final = b"custody/data-key/v1"

Context: TypeAlias = Sequence[bytes]
Randomness: TypeAlias = Callable[[int], bytes]


class SealInvalidError(CustodyError):
    """A seal or a wrapped key does not open; why is not said, where is."""

    code = "seal_invalid"

    def __init__(self, place: str = "") -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        """Return the place and nothing about the cause."""
        return f"does not open: {self.place}" if self.place else "does not open"


@dataclass(frozen=True, repr=False)
class DataKey:
    """A data-encryption key, opened, with the id under which it is kept."""

    key_id: UUID
    secret: bytes

    def __repr__(self) -> str:
        """Return the key's id; the secret never shows."""
        return f"DataKey({self.key_id})"

    @cached_property
    def _parts(self) -> tuple[AESGCM, bytes]:
        expand = HKDFExpand(algorithm=SHA256(), length=KEY_BYTES + 16, info=_SPLIT_INFO)
        okm = expand.derive(self.secret)
        return AESGCM(okm[:KEY_BYTES]), okm[KEY_BYTES:]

    @property
    def cipher(self) -> AESGCM:
        """The cipher under the encryption half of the key."""
        return self._parts[0]

    @property
    def commitment(self) -> bytes:
        """The public half, 16 bytes, that names the key without revealing it."""
        return self._parts[1]


def new_key(key_id: UUID, randomness: Randomness = os.urandom) -> DataKey:
    """Return a fresh random data key of 256 bits."""
    return DataKey(key_id, randomness(KEY_BYTES))


def encode_context(context: Context) -> bytes:
    """Return the context as length-prefixed parts, so that no two contexts read alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in context)


def seal(
    key: DataKey, plaintext: bytes, context: Context, randomness: Randomness = os.urandom
) -> bytes:
    """Return ``plaintext`` sealed under ``key`` and bound to ``context``."""
    bound = _PREFIX.pack(MAGIC, VERSION, AES_256_GCM, 0, key.key_id.bytes, key.commitment)
    nonce = randomness(NONCE_BYTES)
    return bound + nonce + key.cipher.encrypt(nonce, plaintext, bound + encode_context(context))


def open_seal(key: DataKey, sealed: bytes, context: Context) -> bytes:
    """Return what was sealed.

    Raises:
        SealInvalidError: Any byte, the key or any part of the context is not the original one.
    """
    if len(sealed) < HEADER_BYTES + 16:
        raise SealInvalidError
    magic, version, suite, reserved, key_id, commitment, nonce = _HEADER.unpack_from(sealed)
    known = (magic, version, suite, reserved) == (MAGIC, VERSION, AES_256_GCM, 0)
    if not known or key_id != key.key_id.bytes:
        raise SealInvalidError
    if not hmac.compare_digest(commitment, key.commitment):
        raise SealInvalidError
    try:
        bound = sealed[:_BOUND_BYTES] + encode_context(context)
        return key.cipher.decrypt(nonce, sealed[HEADER_BYTES:], bound)
    except InvalidTag:
        raise SealInvalidError from None


def open_at(place: str, key: DataKey, sealed: bytes, context: Context) -> bytes:
    """Return what was sealed at ``place``.

    Raises:
        SealInvalidError: It does not open; the error names the place.
    """
    try:
        return open_seal(key, sealed, context)
    except SealInvalidError:
        raise SealInvalidError(place) from None


def key_id_of(sealed: bytes) -> UUID:
    """Return the id of the key a seal names in its header.

    Raises:
        SealInvalidError: It is too short to be a seal.
    """
    if len(sealed) < HEADER_BYTES:
        raise SealInvalidError
    return UUID(bytes=sealed[4:20])


def wrap(
    kek: AESGCM, secret: bytes, context: Context, randomness: Randomness = os.urandom
) -> bytes:
    """Return ``secret`` encrypted under a key-encryption key and bound to ``context``."""
    nonce = randomness(NONCE_BYTES)
    return _WRAP_PREFIX + nonce + kek.encrypt(nonce, secret, _WRAP_PREFIX + encode_context(context))


def unwrap(kek: AESGCM, wrapped: bytes, context: Context) -> bytes:
    """Return the secret inside a wrapped key.

    Raises:
        SealInvalidError: Any byte, the key or any part of the context is not the original one.
    """
    if wrapped[:2] != _WRAP_PREFIX:
        raise SealInvalidError
    try:
        bound = _WRAP_PREFIX + encode_context(context)
        return kek.decrypt(wrapped[2 : 2 + NONCE_BYTES], wrapped[2 + NONCE_BYTES :], bound)
    except (InvalidTag, ValueError):
        raise SealInvalidError from None
