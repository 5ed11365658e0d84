"""Statements on the keys that are no customer's data keys: of batches, and of consent evidence."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs
from custody.suites import Suite

_BATCH_KEY_DAYS = text("SELECT DISTINCT kind, day FROM batch_keys")
_BATCHES_BEFORE = text("SELECT batch_id FROM batch_keys WHERE kind = :kind AND day < :before")
_BATCH_KEYS = text(
    "SELECT key_id, batch_id, kind, day, wrapped FROM batch_keys"
    " WHERE batch_id = ANY(:batches) AND kind = :kind"
)
_ADD_BATCH_KEY = text(
    "INSERT INTO batch_keys (key_id, batch_id, kind, day, wrapped)"
    " VALUES (:key_id, :batch_id, :kind, :day, :wrapped) ON CONFLICT DO NOTHING"
)
_DROP_BATCH_KEY = text("DELETE FROM batch_keys WHERE batch_id = :batch AND kind = :kind")
_CONSENT_KEYS = text(
    "SELECT key_id, customer_id, wrapped FROM consent_keys WHERE customer_id = ANY(:customers)"
)
_ADD_CONSENT_KEYS = text(
    "INSERT INTO consent_keys (key_id, customer_id, wrapped) SELECT * FROM"
    " unnest(CAST(:ids AS uuid[]), CAST(:customers AS uuid[]), CAST(:wrapped AS bytea[]))"
    " ON CONFLICT DO NOTHING"
)
_IN_ORDER: Final = " ORDER BY key_id LIMIT :most"
# The second byte of a wrapped key says under which suite (custody.seal).
_UNDER_ANOTHER: Final = " AND substring(wrapped FROM 2 FOR 1) <> :suite"
_BATCH_PAGE: Final = (
    "SELECT key_id, batch_id, kind, day, wrapped FROM batch_keys WHERE key_id > :after"
)
_CONSENT_PAGE: Final = "SELECT key_id, customer_id, wrapped FROM consent_keys WHERE key_id > :after"
_BATCH_KEYS_AFTER = text(_BATCH_PAGE + _IN_ORDER)
_CONSENT_KEYS_AFTER = text(_CONSENT_PAGE + _IN_ORDER)
_BATCH_KEYS_TO_WRAP = text(f"{_BATCH_PAGE}{_UNDER_ANOTHER}{_IN_ORDER} FOR UPDATE")
_CONSENT_KEYS_TO_WRAP = text(f"{_CONSENT_PAGE}{_UNDER_ANOTHER}{_IN_ORDER} FOR UPDATE")
_PUT: Final = (
    " k SET wrapped = w.wrapped FROM unnest(CAST(:ids AS uuid[]), CAST(:wrapped AS bytea[]))"
    " w (id, wrapped) WHERE k.key_id = w.id"
)
_PUT_BATCH_KEYS = text(f"UPDATE batch_keys{_PUT}")
_PUT_CONSENT_KEYS = text(f"UPDATE consent_keys{_PUT}")

_BY_SUITE: Final = " UNION ALL ".join(
    f"SELECT '{kind}' AS kind,"  # noqa: S608
    " CASE WHEN length(wrapped) > 1 THEN get_byte(wrapped, 1) ELSE 0 END AS suite,"
    f" count(*) AS keys FROM {kind}_keys GROUP BY 2"
    for kind in ("batch", "consent", "data")
)


class BatchKey(msgspec.Struct, frozen=True):
    """The key of a batch's intake or quarantine, wrapped under that of a day."""

    key_id: UUID
    batch_id: UUID
    kind: str
    day: date
    wrapped: bytes


class ConsentKey(msgspec.Struct, frozen=True):
    """The key of a customer's consent evidence, wrapped."""

    key_id: UUID
    customer_id: UUID
    wrapped: bytes


def count_by_suite(connection: Connection) -> list[tuple[str, int, int]]:
    """Return kind, number of the suite, and how many keys of that kind are wrapped under it."""
    rows = connection.execute(text(_BY_SUITE))
    return [(row.kind, row.suite, row.keys) for row in rows]


def batch_key_days(connection: Connection) -> set[tuple[str, date]]:
    """Return for which kinds and days there are batch keys."""
    return {(row.kind, row.day) for row in connection.execute(_BATCH_KEY_DAYS)}


def batches_with_keys_before(connection: Connection, kind: str, before: date) -> set[UUID]:
    """Return the batches that have a key of a day before one."""
    rows = connection.execute(_BATCHES_BEFORE, {"kind": kind, "before": before})
    return set(rows.scalars())


def batch_keys(connection: Connection, batches: Iterable[UUID], kind: str) -> dict[UUID, BatchKey]:
    """Return the key of each batch that has one."""
    rows = connection.execute(_BATCH_KEYS, {"batches": list(batches), "kind": kind})
    return {row.batch_id: BatchKey(*row) for row in rows}


def add_batch_key(connection: Connection, key: BatchKey) -> None:
    """Add a batch's key unless it has one."""
    connection.execute(_ADD_BATCH_KEY, msgspec.structs.asdict(key))


def drop_batch_key(connection: Connection, batch_id: UUID, kind: str) -> None:
    """Delete a batch's key row."""
    connection.execute(_DROP_BATCH_KEY, {"batch": batch_id, "kind": kind})


def batch_keys_after(connection: Connection, after: UUID, most: int) -> list[BatchKey]:
    """Return up to ``most`` keys of batches in order of id, behind one."""
    rows = connection.execute(_BATCH_KEYS_AFTER, {"after": after, "most": most})
    return [BatchKey(*row) for row in rows]


def batch_keys_to_wrap(
    connection: Connection, suite: Suite, after: UUID, most: int
) -> list[BatchKey]:
    """Return, locked, the next of them that are not wrapped under the suite."""
    rows = connection.execute(_BATCH_KEYS_TO_WRAP, _place(suite, after, most))
    return [BatchKey(*row) for row in rows]


def put_batch_keys(connection: Connection, changes: Sequence[tuple[UUID, bytes]]) -> None:
    """Put other wraps in the place of those of locked keys: pairs of id and wrap."""
    connection.execute(_PUT_BATCH_KEYS, _columns(changes))


def consent_keys(connection: Connection, customers: Iterable[UUID]) -> dict[UUID, ConsentKey]:
    """Return the consent key of each customer who has one."""
    rows = connection.execute(_CONSENT_KEYS, {"customers": list(customers)})
    return {row.customer_id: ConsentKey(*row) for row in rows}


def add_consent_keys(connection: Connection, keys: Sequence[ConsentKey]) -> None:
    """Add consent keys; a customer keeps the one there already."""
    columns = {
        "ids": [key.key_id for key in keys],
        "customers": [key.customer_id for key in keys],
        "wrapped": Blobs(key.wrapped for key in keys),
    }
    connection.execute(_ADD_CONSENT_KEYS, columns)


def consent_keys_after(connection: Connection, after: UUID, most: int) -> list[ConsentKey]:
    """Return up to ``most`` consent keys in order of id, behind one."""
    rows = connection.execute(_CONSENT_KEYS_AFTER, {"after": after, "most": most})
    return [ConsentKey(*row) for row in rows]


def consent_keys_to_wrap(
    connection: Connection, suite: Suite, after: UUID, most: int
) -> list[ConsentKey]:
    """Return, locked, the next of them that are not wrapped under the suite."""
    rows = connection.execute(_CONSENT_KEYS_TO_WRAP, _place(suite, after, most))
    return [ConsentKey(*row) for row in rows]


def put_consent_keys(connection: Connection, changes: Sequence[tuple[UUID, bytes]]) -> None:
    """Put other wraps in the place of those of locked keys: pairs of id and wrap."""
    connection.execute(_PUT_CONSENT_KEYS, _columns(changes))


def _place(suite: Suite, after: UUID, most: int) -> dict[str, object]:
    return {"suite": bytes((suite.number,)), "after": after, "most": most}


def _columns(changes: Sequence[tuple[UUID, bytes]]) -> dict[str, object]:
    return {
        "ids": [key_id for key_id, _ in changes],
        "wrapped": Blobs(wrapped for _, wrapped in changes),
    }
