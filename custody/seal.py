"""Seals: authenticated encryption of one compartment under one data key.

A seal, version 1::

    offset  size  content
         0     1  0xC5
         1     1  format version, 1
         2     1  suite, a number of custody.suites
         3     1  reserved, 0
         4    16  key id
        20    16  key commitment
        36    12  nonce, random
        48   n+16 ciphertext and tag

The associated data are bytes 0 to 35 of the header and then the context: each part preceded by its
length as four bytes, big-endian. A seal moved to another installation, customer, dataset, record,
compartment, version or key therefore does not open, and neither does one whose suite was altered.

A data key is split once per suite with HKDF-Expand (RFC 5869; label ``custody/data-key/v1`` and the
suite's number) into an encryption key and a commitment of 16 bytes. The commitment makes a seal
open under one key only, which GCM alone does not promise (Grubbs, Lu, Ristenpart: Message Franking
via Committing Authenticated Encryption, 2017). Nonces are random; few seals are made under one data
key, so that two never meet (NIST SP 800-38D, 8.3).

A wrapped key, version 1::

    offset  size  content
         0     1  format version, 1
         1     1  suite
         2    12  nonce, random
        14    48  ciphertext of the 32 bytes, and tag

It is bound to bytes 0 and 1 and to its own context; the wrapping key is split likewise, under the
label ``custody/wrapping-key/v1``.
"""

import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag

from custody.errors import CustodyError
from custody.randomness import Randomness
from custody.suites import AES_256_GCM, NONCE_BYTES, SUITES, TAG_BYTES, Aead, Suite

MAGIC: Final = 0xC5
VERSION: Final = 1
KEY_BYTES: Final = 32
HEADER_BYTES: Final = 48
_BOUND_BYTES: Final = 36
_BEGIN: Final = bytes((MAGIC, VERSION))
_PREFIX: Final = struct.Struct(">BBBB16s16s")
_WRAP_HEADER_BYTES: Final = 2 + NONCE_BYTES
_DATA_LABEL: Final = b"custody/data-key/v1"
_WRAPPING_LABEL: Final = b"custody/wrapping-key/v1"


class Encoded(bytes):
    """A context whose parts are put together already (:func:`encode_context`)."""

    __slots__ = ()


Context: TypeAlias = Sequence[bytes] | Encoded


class SealInvalidError(CustodyError):
    """A seal or a wrapped key does not open; why is not said, where is."""

    code = "seal_invalid"

    def __init__(self, place: str = "") -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        """Return the place and nothing about the cause."""
        return f"does not open: {self.place}" if self.place else "does not open"


class KeyMissingError(SealInvalidError):
    """There is no such key: it was destroyed, or never made."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data-encryption key, opened, with the id under which it is kept."""

    key_id: UUID
    secret: bytes = field(repr=False)
    _halves: dict[int, tuple[Aead, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def halves(self, suite: Suite) -> tuple[Aead, bytes]:
        """Return the cipher, and how every seal under the key begins: bytes 0 to 35.

        The commitment at the end of it names the key without revealing it.
        """
        known = self._halves.get(suite.number)
        if known is None:
            cipher, commitment = suite.split(self.secret, _DATA_LABEL)
            begin = _PREFIX.pack(MAGIC, VERSION, suite.number, 0, self.key_id.bytes, commitment)
            known = self._halves[suite.number] = cipher, begin
        return known


class WrappingKey:
    """A key-encryption key, opened: it wraps other keys and opens what it wrapped."""

    def __init__(self, secret: bytes) -> None:
        """Take a secret of 32 bytes."""
        self._secret = secret
        self._ciphers: dict[int, Aead] = {}

    def __repr__(self) -> str:
        """Show nothing."""
        return "WrappingKey()"

    def wrap(
        self,
        secret: bytes,
        context: Context,
        suite: Suite = AES_256_GCM,
        randomness: Randomness = os.urandom,
    ) -> bytes:
        """Return ``secret`` encrypted and bound to ``context``.

        Raises:
            SuiteRetiredError: Nothing is sealed under the suite any more.
        """
        prefix = bytes((VERSION, suite.require_in_use().number))
        nonce = randomness(NONCE_BYTES)
        bound = prefix + encode_context(context)
        return prefix + nonce + self._cipher(suite).encrypt(nonce, secret, bound)

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        """Return the secret inside a wrapped key.

        Raises:
            SealInvalidError: Any byte, the key or any part of the context is not the original one.
        """
        if len(wrapped) < _WRAP_HEADER_BYTES + TAG_BYTES or wrapped[0] != VERSION:
            raise SealInvalidError
        suite = SUITES.get(wrapped[1])
        if suite is None:
            raise SealInvalidError
        bound = wrapped[:2] + encode_context(context)
        nonce, body = wrapped[2:_WRAP_HEADER_BYTES], wrapped[_WRAP_HEADER_BYTES:]
        try:
            return self._cipher(suite).decrypt(nonce, body, bound)
        except (InvalidTag, ValueError):
            pass
        raise SealInvalidError  # out here, so that not even its context tells the cause

    def wrap_again(self, wrapped: bytes, context: Context, suite: Suite) -> bytes:
        """Return what is in a wrapped key wrapped under another suite, opened again and compared.

        Raises:
            SealInvalidError: The old wrap or the new one does not open.
            SuiteRetiredError: Nothing is sealed under the suite any more.
        """
        secret = self.unwrap(wrapped, context)
        again = self.wrap(secret, context, suite)
        if not hmac.compare_digest(self.unwrap(again, context), secret):
            raise SealInvalidError
        return again

    def _cipher(self, suite: Suite) -> Aead:
        known = self._ciphers.get(suite.number)
        if known is None:
            known, _ = suite.split(self._secret, _WRAPPING_LABEL)
            self._ciphers[suite.number] = known
        return known


def new_key(key_id: UUID, randomness: Randomness = os.urandom) -> DataKey:
    """Return a fresh random data key of 256 bits."""
    return DataKey(key_id, randomness(KEY_BYTES))


def encode_context(context: Context) -> Encoded:
    """Return the context as length-prefixed parts, so that no two contexts read alike."""
    if isinstance(context, Encoded):
        return context
    return Encoded(b"".join([len(part).to_bytes(4, "big") + part for part in context]))


def encode_part(part: bytes) -> bytes:
    """Return one part of a context with its length before it."""
    return len(part).to_bytes(4, "big") + part


def seal(
    key: DataKey,
    plaintext: bytes,
    context: Context,
    suite: Suite,
    randomness: Randomness = os.urandom,
) -> bytes:
    """Return ``plaintext`` sealed under ``key`` and bound to ``context``.

    Raises:
        SuiteRetiredError: Nothing is sealed under the suite any more.
    """
    cipher, bound = key.halves(suite.require_in_use())
    nonce = randomness(NONCE_BYTES)
    return bound + nonce + cipher.encrypt(nonce, plaintext, bound + encode_context(context))


def open_seal(key: DataKey, sealed: bytes, context: Context) -> bytes:
    """Return what was sealed, under whichever suite.

    Raises:
        SealInvalidError: Any byte, the key or any part of the context is not the original one.
    """
    if len(sealed) < HEADER_BYTES + TAG_BYTES:
        raise SealInvalidError
    suite = SUITES.get(sealed[2])
    if suite is None:
        raise SealInvalidError
    cipher, begin = key.halves(suite)
    if not hmac.compare_digest(sealed[:_BOUND_BYTES], begin):
        raise SealInvalidError
    try:
        nonce, body = sealed[_BOUND_BYTES:HEADER_BYTES], sealed[HEADER_BYTES:]
        return cipher.decrypt(nonce, body, begin + encode_context(context))
    except (InvalidTag, ValueError):
        pass
    raise SealInvalidError


def open_at(place: str, key: DataKey, sealed: bytes, context: Context) -> bytes:
    """Return what was sealed at ``place``.

    Raises:
        SealInvalidError: It does not open; the error names the place.
    """
    try:
        return open_seal(key, sealed, context)
    except SealInvalidError:
        pass
    raise SealInvalidError(place)


def is_under(sealed: bytes, key_id: UUID) -> bool:
    """Whether a seal names this key in its header."""
    return sealed[4:20] == key_id.bytes


def suite_of(sealed: bytes) -> Suite | None:
    """Return the suite a seal names in its header, None where it is no seal that custody knows."""
    if len(sealed) < HEADER_BYTES or sealed[:2] != _BEGIN:
        return None
    return SUITES.get(sealed[2])
