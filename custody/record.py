"""Records between their forms: normalised values, the sealed payload, and values again.

A compartment's payload is a MessagePack map from field number to a string or an integer; number 0
carries the customer's alias, in the ``general`` compartment of every record. Dates are ISO 8601,
instants ISO 8601 in UTC, decimals their shortest exact text. Field numbers are never reused, so a
payload can be read for ever.

A ciphertext is as long as what it hides, so a short code could be told by its length. Where a
payload is sealed as a compartment, the codes of a field are therefore filled up with NUL to the
longest the field may take, and the whole is padded to a multiple of 32 bytes (ISO/IEC 7816-4: one
byte 0x80, then zeros). Values cannot end in NUL: ingest refuses control characters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from custody.policy.model import Dataset, Field, FieldType, Level

ALIAS: Final = 0
_END: Final = b"\x80"
_FILLER: Final = "\0"
_BLOCK: Final = 32
Value: TypeAlias = str | int | date | datetime | Decimal
Payload: TypeAlias = dict[int, str | int]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[int, str | int])


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRow:
    """One record as the database holds it: sealed."""

    id: UUID
    period: str
    customer_id: UUID
    dataset: str
    purpose: str
    namespace: str
    version: int
    key_id: UUID
    general: bytes
    sensitive: bytes | None
    secret: bytes | None
    ends_on: date | None
    level_raised: bool
    batch_id: UUID
    row_number: int
    stored_at: datetime

    def compartments(self) -> Iterable[tuple[Level, bytes]]:
        """Yield each compartment the record has, with its seal."""
        for level in Level:
            sealed = getattr(self, level.value)
            if sealed is not None:
                yield level, sealed


def seal_context(
    installation: UUID, record: UUID, customer: UUID, dataset: str, level: str, version: int
) -> tuple[bytes, ...]:
    """Return what a record's seal is bound to; the key's id is bound by the seal itself."""
    return (
        installation.bytes,
        customer.bytes,
        dataset.encode(),
        record.bytes,
        level.encode(),
        version.to_bytes(4, "big"),
    )


def to_primitive(value: Value) -> str | int:
    """Return the value as it stands in a payload."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            return value


def from_primitive(field: Field, primitive: str | int) -> Value:
    """Return the value that a payload's primitive stands for."""
    text = str(primitive)
    match field.type:
        case FieldType.DATE:
            return date.fromisoformat(text)
        case FieldType.INSTANT:
            return datetime.fromisoformat(text)
        case FieldType.DECIMAL:
            return Decimal(text)
        case FieldType.INTEGER:
            return int(primitive)
        case _:
            return text


def to_payload(dataset: Dataset, values: Mapping[str, Value]) -> Payload:
    """Return the values by field number."""
    return {dataset.field(name).number: to_primitive(value) for name, value in values.items()}


def from_payload(dataset: Dataset, payload: Payload) -> dict[str, Value]:
    """Return the values by field name, without the alias and without retired fields."""
    values = {number: one for number, one in payload.items() if number != ALIAS}
    return {field.name: from_primitive(field, one) for field, one in dataset.present(values)}


def encode_payload(payload: Payload) -> bytes:
    """Return the payload as MessagePack, fields in order of number."""
    return _encoder.encode(dict(sorted(payload.items())))


def decode_payload(encoded: bytes) -> Payload:
    """Return the payload that :func:`encode_payload` wrote."""
    return _decoder.decode(encoded)


def encode_compartment(dataset: Dataset | None, payload: Payload) -> bytes:
    """Return the payload as it is sealed: no code of a field can be told by its length.

    What is sealed again may be of a field or a dataset that the policy has dropped; then nobody
    knows what its codes were, and it is only padded.
    """
    filled = {
        number: _filled_up(dataset, number, value) if isinstance(value, str) else value
        for number, value in payload.items()
    }
    encoded = encode_payload(filled) + _END
    return encoded + bytes(-len(encoded) % _BLOCK)


def decode_compartment(padded: bytes) -> Payload:
    """Return the payload that :func:`encode_compartment` wrote."""
    payload = decode_payload(padded.rstrip(b"\0")[: -len(_END)])
    return {
        number: value.rstrip(_FILLER) if isinstance(value, str) else value
        for number, value in payload.items()
    }


def _filled_up(dataset: Dataset | None, number: int, value: str) -> str:
    codes = dataset.codes_of(number) if dataset else ()
    if not codes:
        return value
    longest = max(len(code.encode()) for code in codes)
    return value + _FILLER * (longest - len(value.encode()))
