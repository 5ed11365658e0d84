"""What each wrapped key is bound to, and under which name its key-encryption key lies."""

from datetime import date
from typing import Final
from uuid import UUID

from custody.database.keytables import WrappedKey
from custody.seal import DataKey, SealInvalidError, WrappingKey

SLICE_BITS: Final = 4
SLICES: Final = 1 << SLICE_BITS
INTAKE: Final = "intake"
QUARANTINE: Final = "quarantine"
CONSENT: Final = "consent"


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


def data_context(
    installation: bytes, customer_id: UUID, period: str, generation: int, key_id: UUID
) -> tuple[bytes, ...]:
    """Return what a wrapped data key is bound to."""
    number = generation.to_bytes(4, "big")
    return (b"data", installation, customer_id.bytes, period.encode(), number, key_id.bytes)


def batch_context(
    installation: bytes, batch_id: UUID, kind: str, key_id: UUID
) -> tuple[bytes, ...]:
    """Return what a batch's wrapped key is bound to."""
    return (kind.encode(), installation, batch_id.bytes, key_id.bytes)


def consent_context(installation: bytes, customer_id: UUID, key_id: UUID) -> tuple[bytes, ...]:
    """Return what a customer's wrapped consent key is bound to."""
    return (b"consent", installation, customer_id.bytes, key_id.bytes)


def open_data_key(installation: bytes, kek: WrappingKey, key: WrappedKey) -> DataKey:
    """Return an opened data key.

    Raises:
        SealInvalidError: It does not open; the error names it.
    """
    context = data_context(installation, key.customer_id, key.period, key.generation, key.key_id)
    try:
        return DataKey(key.key_id, kek.unwrap(key.wrapped, context))
    except SealInvalidError:
        raise SealInvalidError(f"wrapped key {key.key_id}") from None
