"""Statements on records and their keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints, Texts, Uuids
from custody.database.copying import (
    UUID_HEAD,
    blob,
    bool_value,
    columns,
    copy_encoded,
    day_value,
    fetch,
    instant_value,
    int_value,
    text_value,
)
from custody.database.search import delete_search
from custody.record import RecordRow

# In the order of RecordRow.
COLUMNS: Final = (
    "id, period, customer_id, dataset, purpose, namespace, version, key_id, general, sensitive,"
    " secret, ends_on, level_raised, batch_id, row_number, stored_at"
)
_COLUMN_COUNT: Final = columns(len(COLUMNS.split(",")))
_COPY: Final = f"COPY custody.records ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_BY_ID: Final = f"SELECT {COLUMNS} FROM records WHERE id = ANY(%(ids)s) ORDER BY id"  # noqa: S608
_OF_CUSTOMERS: Final = (
    f"SELECT {COLUMNS} FROM records WHERE customer_id = ANY(%(customers)s) ORDER BY id"  # noqa: S608
)
_LOCK_OF_CUSTOMERS: Final = (
    f"SELECT {COLUMNS} FROM records WHERE customer_id = ANY(%(customers)s)"  # noqa: S608
    " ORDER BY id FOR UPDATE"
)
_IDS = text(
    "SELECT id, version, customer_id FROM records WHERE dataset = :dataset"
    " AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)"
    " AND (CAST(:customers AS uuid[]) IS NULL OR customer_id = ANY(:customers)) ORDER BY id"
)
_PAGE: Final = f"SELECT {COLUMNS} FROM records WHERE id > %(after)s ORDER BY id LIMIT %(most)s"  # noqa: S608
_ONE_EACH: Final = (
    f"SELECT DISTINCT ON (customer_id) {COLUMNS} FROM records"  # noqa: S608
    " WHERE customer_id = ANY(%(customers)s) ORDER BY customer_id, id"
)
_KEYS: Final = (
    "SELECT tag, record_id, period, customer_id, version, content_tag FROM record_keys"
    " WHERE tag = ANY(%(tags)s)"
)
_ADVANCE_KEYS = text(
    "UPDATE record_keys k SET period = w.period, version = w.version, content_tag = w.content"
    " FROM unnest(CAST(:tags AS bytea[]), CAST(:records AS uuid[]), CAST(:periods AS text[]),"
    " CAST(:versions AS integer[]), CAST(:contents AS bytea[]))"
    " w (tag, record, period, version, content)"
    " WHERE k.tag = w.tag AND k.record_id = w.record AND k.version = w.version - 1"
)
_COPY_KEYS: Final = (
    "COPY custody.record_keys (tag, record_id, period, customer_id, version, content_tag, epoch)"
    " FROM STDIN (FORMAT BINARY)"
)
_KEY_COLUMN_COUNT: Final = columns(7)
_DELETE = text("DELETE FROM records WHERE id = ANY(:ids)")
_DELETE_KEYS = text("DELETE FROM record_keys WHERE record_id = ANY(:ids)")
_MOVE_KEYS = text(
    "UPDATE record_keys k SET period = w.p, version = w.v FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:periods AS text[]), CAST(:versions AS integer[])) AS w (id, p, v)"
    " WHERE k.record_id = w.id"
)
_SET_LAST_DAYS = text(
    "UPDATE records r SET ends_on = w.d FROM unnest(CAST(:ids AS uuid[]), CAST(:days AS date[]))"
    " AS w (id, d) WHERE r.id = w.id"
)
_COUNT = text(
    "SELECT dataset, count(*) AS records, count(sensitive) AS sensitive, count(secret) AS secret,"
    " count(*) FILTER (WHERE level_raised) AS raised FROM records GROUP BY dataset ORDER BY dataset"
)


class RecordKey(msgspec.Struct, frozen=True):
    """Where the record with a given key of its own lies, and what it holds, as a tag."""

    tag: bytes
    record_id: UUID
    period: str
    customer_id: UUID
    version: int
    content_tag: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordVersion:
    """One version of one record, named."""

    id: UUID
    version: int
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetCount:
    """How many records a dataset has, and how many have each compartment."""

    dataset: str
    records: int
    sensitive: int
    secret: int
    raised: int


def copy_records(connection: Connection, rows: Iterable[RecordRow]) -> None:
    """Write sealed records by binary COPY, in the connection's transaction."""
    copy_encoded(connection, _COPY, map(_encoded, rows))


def _encoded(row: RecordRow) -> bytes:
    """Return a row for COPY, in the order of ``COLUMNS``."""
    return b"".join(
        (
            _COLUMN_COUNT,
            UUID_HEAD,
            row.id.bytes,
            text_value(row.period),
            UUID_HEAD,
            row.customer_id.bytes,
            text_value(row.dataset),
            text_value(row.purpose),
            text_value(row.namespace),
            int_value(row.version),
            UUID_HEAD,
            row.key_id.bytes,
            blob(row.general),
            blob(row.sensitive),
            blob(row.secret),
            day_value(row.ends_on),
            bool_value(row.level_raised),
            UUID_HEAD,
            row.batch_id.bytes,
            int_value(row.row_number),
            instant_value(row.stored_at),
        )
    )


def read_rows(
    connection: Connection, statement: str, parameters: Mapping[str, Any]
) -> list[RecordRow]:
    """Return the records of a query for ``COLUMNS``."""
    return [RecordRow(*row) for row in fetch(connection, statement, parameters)]


def records_by_id(connection: Connection, ids: Iterable[UUID]) -> list[RecordRow]:
    """Return the records with these ids that exist, in order of id."""
    return read_rows(connection, _BY_ID, {"ids": Uuids(ids)})


def records_of(connection: Connection, customers: Iterable[UUID]) -> list[RecordRow]:
    """Return every record of the customers, in order of id."""
    return read_rows(connection, _OF_CUSTOMERS, {"customers": Uuids(customers)})


def lock_records_of(connection: Connection, customers: Iterable[UUID]) -> list[RecordRow]:
    """Lock and return every record of the customers, in order of id."""
    return read_rows(connection, _LOCK_OF_CUSTOMERS, {"customers": Uuids(customers)})


def select_records(
    connection: Connection,
    dataset: str,
    purpose: str | None = None,
    customers: Iterable[UUID] | None = None,
) -> list[RecordVersion]:
    """Return the records of a dataset, narrowed to a purpose or to customers, in order of id."""
    chosen = None if customers is None else list(customers)
    parameters = {"dataset": dataset, "purpose": purpose, "customers": chosen}
    return [RecordVersion(**row._mapping) for row in connection.execute(_IDS, parameters)]


def records_after(connection: Connection, after: UUID, most: int) -> list[RecordRow]:
    """Return up to ``most`` records in order of id, beginning behind ``after``."""
    return read_rows(connection, _PAGE, {"after": after, "most": most})


def one_record_each(connection: Connection, customers: Iterable[UUID]) -> list[RecordRow]:
    """Return one record of each customer that has any."""
    return read_rows(connection, _ONE_EACH, {"customers": Uuids(customers)})


def record_keys(connection: Connection, tags: Iterable[bytes]) -> dict[bytes, RecordKey]:
    """Return the records that carry these keys of their own."""
    return {row[0]: RecordKey(*row) for row in fetch(connection, _KEYS, {"tags": Blobs(tags)})}


def copy_record_keys(connection: Connection, keys: Iterable[RecordKey], epoch: int) -> None:
    """Add the keys of new records by binary COPY, in the connection's transaction.

    Raises:
        UniqueViolation: One is there already: the transaction is over.
    """
    number = int_value(epoch)

    def encoded(one: RecordKey) -> bytes:
        return b"".join(
            (
                _KEY_COLUMN_COUNT,
                blob(one.tag),
                UUID_HEAD,
                one.record_id.bytes,
                text_value(one.period),
                UUID_HEAD,
                one.customer_id.bytes,
                int_value(one.version),
                blob(one.content_tag),
                number,
            )
        )

    copy_encoded(connection, _COPY_KEYS, map(encoded, keys))


def advance_record_keys(connection: Connection, keys: Sequence[RecordKey]) -> int:
    """Advance the versions of record keys, and return how many took effect.

    A key whose record or version is not the expected predecessor does not take effect.
    """
    columns = {
        "tags": Blobs(key.tag for key in keys),
        "records": Uuids(key.record_id for key in keys),
        "periods": Texts(key.period for key in keys),
        "versions": Ints(key.version for key in keys),
        "contents": Blobs(key.content_tag for key in keys),
    }
    return connection.execute(_ADVANCE_KEYS, columns).rowcount


def move_record_keys(connection: Connection, rows: Sequence[RecordRow]) -> None:
    """Follow records that were sealed again into another period or version."""
    columns = {
        "ids": [row.id for row in rows],
        "periods": [row.period for row in rows],
        "versions": [row.version for row in rows],
    }
    connection.execute(_MOVE_KEYS, columns)


def set_last_days(connection: Connection, days: Mapping[UUID, date]) -> None:
    """Set until when records may be kept; their period follows when they are sealed again."""
    connection.execute(_SET_LAST_DAYS, {"ids": list(days), "days": list(days.values())})


def delete_rows(connection: Connection, ids: Iterable[UUID]) -> int:
    """Delete the sealed rows of records alone, and return how many there were."""
    return connection.execute(_DELETE, {"ids": list(ids)}).rowcount


def delete_records(connection: Connection, ids: Iterable[UUID]) -> int:
    """Delete records with their keys and index entries, and return how many records there were."""
    wanted = {"ids": list(ids)}
    delete_search(connection, wanted["ids"])
    connection.execute(_DELETE_KEYS, wanted)
    return connection.execute(_DELETE, wanted).rowcount


def count_records(connection: Connection) -> list[DatasetCount]:
    """Return how many records each dataset has, and in which compartments."""
    return [DatasetCount(**row._mapping) for row in connection.execute(_COUNT)]
