"""What each wrapped key is bound to, and under which name its key-encryption key lies."""

import hmac
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from custody.database.buckets import BareKey
from custody.database.keytables import WrappedKey
from custody.randomness import Pool, Randomness
from custody.seal import DataKey, Encoded, SealInvalidError, WrappingKey, encode_context
from custody.suites import SUITES, Suite

SLICE_BITS: Final = 4
SLICES: Final = 1 << SLICE_BITS
_UUID_LENGTH: Final = (16).to_bytes(4, "big")
INTAKE: Final = "intake"
QUARANTINE: Final = "quarantine"
CONSENT: Final = "consent"
IN_TOKEN: Final = 0xF1  # in the place of a suite's number: wrapped inside a token


def slice_of(customer_id: UUID) -> int:
    """Return which slice of an expiry period a customer's keys belong to: the id's top bits."""
    return customer_id.int >> (128 - SLICE_BITS)


def kek_name(period: str, place: int, generation: int) -> str:
    """Return the keystore's name of a bucket's key-encryption key."""
    return f"kek/{period}/{place}/{generation}"


def read_kek_name(name: str) -> tuple[str, int, int] | None:
    """Return period, slice and generation behind such a name, None where it is another's."""
    kind, *parts = name.split("/")
    if kind != "kek":
        return None
    period, place, generation = parts
    return period, int(place), int(generation)


def day_name(kind: str, day: date) -> str:
    """Return the keystore's name of the key-encryption key of a day's batches."""
    return f"day/{kind}/{day.isoformat()}"


def read_day_name(name: str) -> tuple[str, date] | None:
    """Return kind and day behind such a name, None where it is another's."""
    first, *parts = name.split("/")
    if first != "day":
        return None
    kind, day = parts
    return kind, date.fromisoformat(day)


def batch_context(
    installation: bytes, batch_id: UUID, kind: str, key_id: UUID
) -> tuple[bytes, ...]:
    """Return what a batch's wrapped key is bound to."""
    return (kind.encode(), installation, batch_id.bytes, key_id.bytes)


def consent_context(installation: bytes, customer_id: UUID, key_id: UUID) -> tuple[bytes, ...]:
    """Return what a customer's wrapped consent key is bound to."""
    return (b"consent", installation, customer_id.bytes, key_id.bytes)


@dataclass(frozen=True, slots=True)
class WrappedCount:
    """How many keys of a kind are wrapped under a suite.

    Attributes:
        kind: ``batch``, ``consent``, ``data``, or ``keystore`` for its entries.
        suite: The suite's name; ``token`` for what is wrapped inside one.
    """

    kind: str
    suite: str
    keys: int


def suite_name(number: int) -> str:
    """Return the name of the suite that the second byte of a wrapped key says."""
    if number == IN_TOKEN:
        return "token"
    suite = SUITES.get(number)
    return suite.name if suite else "unknown"


class BucketKek:
    """The key-encryption key of a bucket's generation, with what every key in it is bound to.

    A wrapped data key is bound to: that it is one, installation, customer, period, generation, and
    its own id.
    """

    def __init__(
        self, kek: WrappingKey, installation: bytes, period: str, place: int, generation: int
    ) -> None:
        """Take the key, and which bucket's it is."""
        self.period, self.slice, self.generation = period, place, generation
        self._kek = kek
        number = generation.to_bytes(4, "big")
        self._before = encode_context((b"data", installation)) + _UUID_LENGTH
        self._between = encode_context((period.encode(), number)) + _UUID_LENGTH

    def wrap(
        self, customer_id: UUID, key: DataKey, suite: Suite, randomness: Randomness = os.urandom
    ) -> WrappedKey:
        """Return a data key as the key database holds it."""
        context = self._context(customer_id, key.key_id)
        wrapped = self._kek.wrap(key.secret, context, suite, randomness)
        return WrappedKey(
            key.key_id, customer_id, self.period, self.slice, self.generation, wrapped
        )

    def open(self, key: WrappedKey) -> DataKey:
        """Return a data key, opened.

        Raises:
            SealInvalidError: It does not open; the error names it.
        """
        try:
            secret = self._kek.unwrap(key.wrapped, self._context(key.customer_id, key.key_id))
            return DataKey(key.key_id, secret)
        except SealInvalidError:
            pass
        raise SealInvalidError(f"wrapped key {key.key_id}")

    def take_over(
        self, keys: Iterable[BareKey], before: "BucketKek", suite: Suite
    ) -> Iterator[bytes]:
        """Yield keys of an earlier generation wrapped under this one; each new wrap was opened.

        Raises:
            SealInvalidError: An old wrap or a new one does not open; the error names it.
        """
        old, new, randomness = before._kek, self._kek, Pool()  # noqa: SLF001 - of the same class
        for own, customer, there in keys:
            try:
                secret = old.unwrap(there, before._bound(customer, own))  # noqa: SLF001 - likewise
                context = self._bound(customer, own)
                wrapped = new.wrap(secret, context, suite, randomness)
                sound = hmac.compare_digest(new.unwrap(wrapped, context), secret)
            except SealInvalidError:
                sound = False
            if not sound:
                raise SealInvalidError(f"wrapped key {UUID(bytes=own)}")
            yield wrapped

    def _context(self, customer_id: UUID, key_id: UUID) -> Encoded:
        return self._bound(customer_id.bytes, key_id.bytes)

    def _bound(self, customer: bytes, own: bytes) -> Encoded:
        return Encoded(b"".join((self._before, customer, self._between, own)))
