"""Records between their forms: normalised values, the sealed payload, and values again.

A compartment's payload is a MessagePack map from field number to a string or an integer; number 0
carries the customer's pseudonym (:mod:`custody.parts`), in the ``general`` compartment of every
record. Dates are ISO 8601, instants ISO 8601 in UTC, decimals their shortest exact text. Field
numbers are never reused, so a payload can be read for ever.

A ciphertext is as long as what it hides, so a short code could be told by its length. Where a
payload is sealed as a compartment, the codes of a field are therefore filled up with NUL to the
longest the field may take, and the whole is padded to a multiple of 32 bytes (ISO/IEC 7816-4: one
byte 0x80, then zeros). Values cannot end in NUL: ingest refuses control characters.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from custody.policy.model import Dataset, FieldType, Level
from custody.seal import Encoded, encode_part

PSEUDONYM: Final = 0
_END: Final = b"\x80"
_FILLER: Final = "\0"
_BLOCK: Final = 32
_UUID_LENGTH: Final = (16).to_bytes(4, "big")
_FEW_PARTS: Final = 1024
Value: TypeAlias = str | int | date | datetime | Decimal
Payload: TypeAlias = dict[int, str | int]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[int, str | int])


class RecordRow(msgspec.Struct, frozen=True):
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
        yield Level.GENERAL, self.general
        if self.sensitive is not None:
            yield Level.SENSITIVE, self.sensitive
        if self.secret is not None:
            yield Level.SECRET, self.secret


def seal_contexts(
    installation: UUID, record: UUID, customer: UUID, dataset: str, version: int
) -> Callable[[str], Encoded]:
    """Return what says, of a compartment of a record, what its seal is bound to.

    Its parts: installation, customer, dataset, record, compartment, content version. The key's id
    is bound by the seal itself.
    """
    before = b"".join(
        (
            _UUID_LENGTH,
            installation.bytes,
            _UUID_LENGTH,
            customer.bytes,
            _name_part(dataset),
            _UUID_LENGTH,
            record.bytes,
        )
    )
    behind = _version_part(version)
    return lambda level: Encoded(before + _name_part(level) + behind)


@lru_cache(_FEW_PARTS)
def _name_part(name: str) -> bytes:
    return encode_part(name.encode())


@lru_cache(_FEW_PARTS)
def _version_part(version: int) -> bytes:
    return encode_part(version.to_bytes(4, "big"))


def to_primitive(value: Value) -> str | int:
    """Return the value as it stands in a payload."""
    return value if isinstance(value, str) else _WRITERS[type(value)](value)


def _written_instant(value: datetime) -> str:
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()


_WRITERS: Final[Mapping[type, Callable[[Any], str | int]]] = {
    int: int,
    datetime: _written_instant,
    date: date.isoformat,
    Decimal: "{:f}".format,
}


def _day(primitive: str | int) -> date:
    return date.fromisoformat(str(primitive))


def _instant(primitive: str | int) -> datetime:
    return datetime.fromisoformat(str(primitive))


def _decimal(primitive: str | int) -> Decimal:
    return Decimal(str(primitive))


_READERS: Final[Mapping[FieldType, Callable[[str | int], Value]]] = {
    FieldType.DATE: _day,
    FieldType.INSTANT: _instant,
    FieldType.DECIMAL: _decimal,
    FieldType.INTEGER: int,
}


def to_payload(dataset: Dataset, values: Mapping[str, Value]) -> Payload:
    """Return the values by field number."""
    numbers = dataset.numbering
    return {
        numbers[name]: value if isinstance(value, str) else _WRITERS[type(value)](value)
        for name, value in values.items()
    }


def from_payload(dataset: Dataset, payload: Payload) -> dict[str, Value]:
    """Return the values by field name, without the pseudonym and without retired fields."""
    return PayloadReader(dataset, dataset.field_names).read(payload)


class PayloadReader:
    """Reads payloads of one dataset."""

    def __init__(self, dataset: Dataset, typed: Collection[str]) -> None:
        """Take the dataset, and which fields are to be read as what they stand for.

        The others stay the text or the number that they are in a payload.
        """
        self._dataset = dataset
        self._known = {
            one.number: (one.name, _READERS.get(one.type) if one.name in typed else None)
            for one in dataset.fields
        }
        self._ignored = {PSEUDONYM, *dataset.retired_numbers}

    def read(self, payload: Payload) -> dict[str, Value]:
        """Return the values by field name, without the pseudonym and without retired fields.

        Raises:
            UnknownNameError: The dataset has no such field and never had.
        """
        values: dict[str, Value] = {}
        for number, primitive in payload.items():
            known = self._known.get(number)
            if known is None:
                if number not in self._ignored:
                    self._dataset.by_number(number)
                continue
            name, reader = known
            values[name] = primitive if reader is None else reader(primitive)
        return values


def encode_payload(payload: Payload) -> bytes:
    """Return the payload as MessagePack, fields in order of number, as most payloads have them."""
    numbers = list(payload)
    in_order = numbers == sorted(numbers)
    return _encoder.encode(payload if in_order else dict(sorted(payload.items())))


def decode_payload(encoded: bytes) -> Payload:
    """Return the payload that :func:`encode_payload` wrote."""
    return _decoder.decode(encoded)


def encode_compartment(dataset: Dataset | None, payload: Payload) -> bytes:
    """Return the payload as it is sealed: no code of a field can be told by its length.

    What is sealed again may be of a field or a dataset that the policy has dropped; then nobody
    knows what its codes were, and it is only padded.
    """
    filled = dict(sorted(payload.items()))
    for number, longest in dataset.longest_codes.items() if dataset else ():
        if isinstance(value := filled.get(number), str):
            filled[number] = value + _FILLER * (longest - len(value.encode()))
    encoded = _encoder.encode(filled) + _END
    return encoded + bytes(-len(encoded) % _BLOCK)


def decode_compartment(padded: bytes) -> Payload:
    """Return the payload that :func:`encode_compartment` wrote."""
    payload = decode_payload(padded.rstrip(b"\0")[: -len(_END)])
    return {
        number: value.rstrip(_FILLER) if isinstance(value, str) else value
        for number, value in payload.items()
    }
