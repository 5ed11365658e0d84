"""Identifiers: random 128 bits for customers, UUIDv7 for all else, Crockford base32 outside.

Inside the database an identifier is a ``uuid``. Outside it is ``<prefix>_<26 characters>``: the
128 bits as a big-endian number in Crockford's base32 (lower case, without i, l, o, u), most
significant digit first. The first of the 26 characters is at most 7.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from custody.errors import UsageError
from custody.randomness import Randomness

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH: Final = 26
BITS: Final = 128
_STEP_BYTES: Final = 4
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}

CUSTOMER: Final = "cust"
BATCH: Final = "batch"
RECORD: Final = "rec"
REQUEST: Final = "req"
PLAN: Final = "plan"
CERTIFICATE: Final = "cert"
HOLD: Final = "hold"
STAFF: Final = "staff"
GRANT: Final = "grant"
QUARANTINE: Final = "quar"
CONSENT: Final = "cons"
INSTALLATION: Final = "inst"
SESSION: Final = "sess"


class IdentifierInvalidError(UsageError):
    """The text is not an identifier of the expected kind."""


def random_id() -> UUID:
    """Return 128 random bits, for customers: nothing about the person or the time shows."""
    return UUID(bytes=secrets.token_bytes(16))


def time_ordered_id(at: datetime) -> UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7) for the aware instant ``at``."""
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    entropy = secrets.randbits(74)
    head = milliseconds << 80 | 0x7 << 76 | (entropy >> 62) << 64
    return UUID(int=head | 0b10 << 62 | entropy & ((1 << 62) - 1))


def time_ordered_ids(at: datetime, randomness: Randomness) -> Iterator[UUID]:
    """Yield UUIDv7, each after the one before, beginning at an instant (RFC 9562, 6.2, method 2).

    The random part begins anywhere in its lower half and goes up by a random step, so that rows
    written together lie together in an index.
    """
    first = time_ordered_id(at).int
    head, entropy = first >> 62 << 62, first & ((1 << 61) - 1)
    while True:
        yield UUID(int=head | entropy)
        entropy += 1 + int.from_bytes(randomness(_STEP_BYTES), "big")


def show_id(prefix: str, identifier: UUID) -> str:
    """Return the outside form, ``prefix_`` and 26 characters."""
    number = identifier.int
    digits = (ALPHABET[number >> shift & 31] for shift in range(BITS - 3, -1, -5))
    return f"{prefix}_{''.join(digits)}"


def read_id(prefix: str, shown: str) -> UUID:
    """Return the identifier behind its outside form.

    Raises:
        IdentifierInvalidError: Another prefix, another length, or characters that do not belong.
    """
    head, _, digits = shown.partition("_")
    if head != prefix or len(digits) != LENGTH or not _VALUES.keys() >= set(digits):
        raise IdentifierInvalidError(f"not an identifier of the form {prefix}_…")
    number = 0
    for digit in digits:
        number = number << 5 | _VALUES[digit]
    if number >> BITS:
        raise IdentifierInvalidError(f"not an identifier of the form {prefix}_…")
    return UUID(int=number)
