"""Statements on the key database: data keys, and the lock of whoever writes the keystore."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints, Texts, Uuids
from custody.database.copying import (
    UUID_HEAD,
    blob,
    columns,
    copy_encoded,
    fetch,
    int_value,
    small_value,
    text_value,
)

_LOCK: Final = 0x637573_02  # "cus" 2: one writer of the keystore at a time

_KEYS_IN_USE: Final = (
    "SELECT key_id, customer_id, period, slice, generation, wrapped, customer_generation"
    " FROM data_keys"
    " WHERE customer_id = ANY(%(customers)s) AND period = ANY(%(periods)s) AND NOT retired"
)
# The join is the foreign key: a key whose bucket is not there is not added.
_ADD_KEYS = text(
    "INSERT INTO data_keys (key_id, customer_id, period, slice, generation, customer_generation,"
    " wrapped) SELECT w.id, w.customer, b.period, b.slice, w.bucket_generation, w.generation,"
    " w.wrapped FROM unnest(CAST(:ids AS uuid[]), CAST(:customers AS uuid[]),"
    " CAST(:periods AS text[]), CAST(:slices AS integer[]), CAST(:bucket_generations AS integer[]),"
    " CAST(:generations AS integer[]), CAST(:wrapped AS bytea[]))"
    " w (id, customer, period, slice, bucket_generation, generation, wrapped)"
    " JOIN buckets b ON b.period = w.period AND b.slice = w.slice ON CONFLICT DO NOTHING"
)
_COPY_KEYS: Final = (
    "COPY custody.data_keys (key_id, customer_id, period, slice, generation, customer_generation,"
    " wrapped) FROM STDIN (FORMAT BINARY)"
)
_COLUMN_COUNT: Final = columns(7)
IN_USE: Final = "data_keys_in_use"
_KEYS_BY_ID: Final = (
    "SELECT key_id, customer_id, period, slice, generation, wrapped FROM data_keys"
    " WHERE key_id = ANY(%(ids)s)"
)
_GENERATIONS = text("SELECT key_id, generation FROM data_keys WHERE key_id = ANY(:ids)")
_SHARE_BUCKETS = text(
    "SELECT FROM buckets WHERE (period, slice) IN"
    " (SELECT period, slice FROM data_keys WHERE key_id = ANY(:ids))"
    " ORDER BY period, slice FOR SHARE"
)
_RETIRE = text(
    "WITH locked AS (SELECT key_id FROM data_keys WHERE key_id = ANY(:ids)"
    "  ORDER BY key_id FOR NO KEY UPDATE)"
    " UPDATE data_keys k SET retired = true FROM locked l WHERE k.key_id = l.key_id"
)
_DELETE_RETIRED = text(
    "DELETE FROM data_keys WHERE key_id IN (SELECT key_id FROM data_keys"
    "  WHERE key_id = ANY(:ids) AND retired ORDER BY key_id FOR UPDATE)"
)
_EVERY_KEY = text(
    "SELECT key_id, customer_id, period, slice, generation, wrapped FROM data_keys"
    " WHERE key_id > :after ORDER BY key_id LIMIT :most"
)


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as the key database holds it."""

    key_id: UUID
    customer_id: UUID
    period: str
    slice: int
    generation: int
    wrapped: bytes


def lock_keystore(connection: Connection) -> None:
    """Wait until this transaction is the only writer of the keystore."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def keys_in_use(
    connection: Connection, wanted: Mapping[tuple[UUID, str], int]
) -> dict[tuple[UUID, str], WrappedKey]:
    """Return the keys in use of the wanted (customer, period), at the given customer generation."""
    parameters = {
        "customers": Uuids({customer for customer, _ in wanted}),
        "periods": Texts({period for _, period in wanted}),
    }
    # More is found where people differ in their periods, and keys of generations before an erasure.
    return {
        pair: WrappedKey(*row)
        for *row, generation in fetch(connection, _KEYS_IN_USE, parameters)
        if wanted.get(pair := (row[1], row[2])) == generation
    }


def add_keys(
    connection: Connection, keys: Sequence[WrappedKey], customer_generations: Sequence[int]
) -> int:
    """Add data keys and return how many; one that is there already stays as it is."""
    result = connection.execute(
        _ADD_KEYS,
        {
            "ids": Uuids(key.key_id for key in keys),
            "customers": Uuids(key.customer_id for key in keys),
            "periods": Texts(key.period for key in keys),
            "slices": Ints(key.slice for key in keys),
            "bucket_generations": Ints(key.generation for key in keys),
            "generations": Ints(customer_generations),
            "wrapped": Blobs(key.wrapped for key in keys),
        },
    )
    return result.rowcount


def copy_keys(
    connection: Connection, keys: Sequence[WrappedKey], customer_generations: Sequence[int]
) -> int:
    """Add data keys by binary COPY and return how many; the caller shares their buckets.

    Raises:
        UniqueViolation: Somebody made one of them meanwhile (``IN_USE``): the transaction is over.
    """
    copy_encoded(connection, _COPY_KEYS, map(_encoded, keys, customer_generations))
    return len(keys)


def _encoded(key: WrappedKey, customer_generation: int) -> bytes:
    return b"".join(
        (
            _COLUMN_COUNT,
            UUID_HEAD,
            key.key_id.bytes,
            UUID_HEAD,
            key.customer_id.bytes,
            text_value(key.period),
            small_value(key.slice),
            int_value(key.generation),
            int_value(customer_generation),
            blob(key.wrapped),
        )
    )


def keys_by_id(connection: Connection, ids: Iterable[UUID]) -> list[WrappedKey]:
    """Return the wrapped keys with these ids, retired ones too."""
    return [WrappedKey(*row) for row in fetch(connection, _KEYS_BY_ID, {"ids": Uuids(ids)})]


def keys_after(connection: Connection, after: UUID, most: int) -> list[WrappedKey]:
    """Return up to ``most`` keys in order of id, beginning behind ``after``."""
    rows = connection.execute(_EVERY_KEY, {"after": after, "most": most})
    return [WrappedKey(**row._mapping) for row in rows]


def generations_of(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return the generation of the key-encryption key of each of the keys that are there."""
    rows = connection.execute(_GENERATIONS, {"ids": list(ids)})
    return {row.key_id: row.generation for row in rows}


def retire_keys(connection: Connection, ids: Iterable[UUID]) -> None:
    """Mark keys retired: they still open, and are never handed out again.

    Their buckets are locked before, as by whoever adds a key, so that none of them turns meanwhile.
    """
    wanted = {"ids": list(ids)}
    connection.execute(_SHARE_BUCKETS, wanted)
    connection.execute(_RETIRE, wanted)


def delete_retired_keys(connection: Connection, ids: Iterable[UUID]) -> int:
    """Delete the retired ones of the keys and return how many there were."""
    return connection.execute(_DELETE_RETIRED, {"ids": list(ids)}).rowcount
