"""The intake area's form: the accepted rows of one chunk, minimised, as one MessagePack array.

It is sealed as a whole under the batch's key, bound to installation, batch and chunk.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec


class IntakeRow(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One accepted row.

    Attributes:
        number: Its place among the source's data rows, from 1.
        values: The necessary fields by number, as payload primitives.
        content_tag: The tag of its content.
    """

    number: int
    values: dict[int, str | int]
    content_tag: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[IntakeRow])


def encode_rows(rows: Sequence[IntakeRow]) -> bytes:
    """Return the rows as MessagePack."""
    return _encoder.encode(rows)


def decode_rows(encoded: bytes) -> list[IntakeRow]:
    """Return the rows that :func:`encode_rows` wrote."""
    return _decoder.decode(encoded)


def intake_context(installation: UUID, batch_id: UUID, chunk: int) -> tuple[bytes, ...]:
    """Return what a chunk's seal is bound to."""
    return (installation.bytes, b"intake", batch_id.bytes, chunk.to_bytes(4, "big"))


def quarantine_context(installation: UUID, batch_id: UUID, row_number: int) -> tuple[bytes, ...]:
    """Return what a quarantined row's seal is bound to."""
    return (installation.bytes, b"quarantine", batch_id.bytes, row_number.to_bytes(4, "big"))


def location_context(installation: UUID, batch_id: UUID) -> tuple[bytes, ...]:
    """Return what the seal of a batch's location is bound to."""
    return (installation.bytes, b"location", batch_id.bytes)
