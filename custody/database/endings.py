"""Statements on keys that must end: the durable intent between the two databases."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Uuids
from custody.database.records import COLUMNS, read_rows
from custody.record import RecordRow

_END_OF_RECORDS = text(
    "INSERT INTO key_endings (key_id, customer_id, reason, plan_id, decided_at)"
    " SELECT DISTINCT key_id, customer_id, :reason, CAST(:plan AS uuid), :at"
    " FROM records WHERE id = ANY(:ids)"
    " ON CONFLICT (key_id) DO NOTHING"
)
_END_KEYS = text(
    "INSERT INTO key_endings (key_id, customer_id, reason, plan_id, decided_at)"
    " SELECT k, c, :reason, CAST(:plan AS uuid), :at"
    " FROM unnest(CAST(:keys AS uuid[]), CAST(:customers AS uuid[])) AS w (k, c)"
    " ON CONFLICT (key_id) DO NOTHING"
)
_PENDING = text(
    "SELECT DISTINCT customer_id FROM key_endings"
    " WHERE (CAST(:customers AS uuid[]) IS NULL OR customer_id = ANY(:customers))"
    " ORDER BY customer_id"
)
_KEYS = text("SELECT key_id FROM key_endings WHERE customer_id = ANY(:customers) ORDER BY key_id")
_SURVIVORS: Final = (
    f"SELECT {COLUMNS} FROM records WHERE key_id = ANY(%(keys)s)"  # noqa: S608
    " AND customer_id = ANY(%(customers)s) ORDER BY id FOR UPDATE"
)
_RESEAL = text(
    "UPDATE records SET period = :period, key_id = :key_id, general = :general,"
    " sensitive = :sensitive, secret = :secret WHERE id = :id AND key_id = :old_key_id"
)
_DONE = text("DELETE FROM key_endings WHERE key_id = ANY(:keys)")
_LEFT = text(
    "SELECT count(*) FROM key_endings WHERE CAST(:plan AS uuid) IS NULL OR plan_id = :plan"
)


def end_keys_of_records(
    connection: Connection,
    ids: Iterable[UUID],
    reason: str,
    at: datetime,
    plan_id: UUID | None = None,
) -> None:
    """Decide that the keys of these records end, before the records themselves go."""
    row = {"ids": list(ids), "reason": reason, "at": at, "plan": plan_id}
    connection.execute(_END_OF_RECORDS, row)


def end_keys(
    connection: Connection,
    keys: Sequence[tuple[UUID, UUID]],
    reason: str,
    at: datetime,
    plan_id: UUID | None = None,
) -> None:
    """Decide that these keys (key, customer) end."""
    row = {
        "keys": [key for key, _ in keys],
        "customers": [customer for _, customer in keys],
        "reason": reason,
        "at": at,
        "plan": plan_id,
    }
    connection.execute(_END_KEYS, row)


def customers_pending(
    connection: Connection, customers: Iterable[UUID] | None = None
) -> list[UUID]:
    """Return the customers, of these or of all, who have keys that must end."""
    chosen = None if customers is None else list(customers)
    return list(connection.execute(_PENDING, {"customers": chosen}).scalars())


def keys_ending(connection: Connection, customers: Iterable[UUID]) -> list[UUID]:
    """Return which keys of the customers must end."""
    return list(connection.execute(_KEYS, {"customers": list(customers)}).scalars())


def lock_survivors(
    connection: Connection, customers: Iterable[UUID], keys: Iterable[UUID]
) -> list[RecordRow]:
    """Lock and return the records that still lie under the keys."""
    wanted = {"customers": Uuids(customers), "keys": Uuids(keys)}
    return read_rows(connection, _SURVIVORS, wanted)


def reseal_record(connection: Connection, row: RecordRow, old_key_id: UUID) -> None:
    """Write a record as it was sealed again, wherever its period now is."""
    connection.execute(
        _RESEAL,
        {
            "period": row.period,
            "key_id": row.key_id,
            "general": row.general,
            "sensitive": row.sensitive,
            "secret": row.secret,
            "id": row.id,
            "old_key_id": old_key_id,
        },
    )


def endings_done(connection: Connection, keys: Iterable[UUID]) -> None:
    """Forget the intent: the keys are deleted."""
    connection.execute(_DONE, {"keys": list(keys)})


def count_endings(connection: Connection, plan_id: UUID | None = None) -> int:
    """Return how many keys still must end, for a plan or altogether."""
    return int(connection.execute(_LEFT, {"plan": plan_id}).scalar_one())
