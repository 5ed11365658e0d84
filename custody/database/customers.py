"""Statements on customers, their suppression tags and retention events."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Uuids
from custody.database.copying import fetch

_LOCK: Final = (
    "SELECT id, generation, state FROM customers WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"
)
_READ: Final = "SELECT id, generation, state FROM customers WHERE id = ANY(%(ids)s)"
_ADD = text(
    "INSERT INTO customers (id, created_at) SELECT id, :at FROM unnest(CAST(:ids AS uuid[])) id"
)
_RAISE = text(
    "UPDATE customers SET generation = generation + 1, state = :state WHERE id = ANY(:customers)"
)
_NOTHING_LEFT = text(
    "SELECT c.id FROM customers c WHERE c.id = ANY(:customers) AND c.state = 'active'"
    " AND NOT EXISTS (SELECT FROM records r WHERE r.customer_id = c.id)"
    " AND NOT EXISTS (SELECT FROM consents g WHERE g.customer_id = c.id"
    "                 AND NOT EXISTS (SELECT FROM consents w WHERE w.customer_id = c.id"
    "                     AND (w.purpose, w.kind, w.recipient) = (g.purpose, g.kind, g.recipient)"
    "                     AND w.withdrawn_at BETWEEN g.given_at AND :at)) ORDER BY c.id"
)
_COUNT = text("SELECT count(*) FROM customers WHERE state = 'active'")
_SUPPRESSED = text(
    "SELECT tag, erased_at FROM suppression_tags WHERE tag = ANY(:tags) AND until_on >= :today"
)
_SUPPRESS = text(
    "INSERT INTO suppression_tags (tag, erased_at, until_on)"
    " SELECT t, :at, :until FROM unnest(CAST(:tags AS bytea[])) t"
    " ON CONFLICT (tag) DO NOTHING"
)
_UNSUPPRESS = text("DELETE FROM suppression_tags WHERE tag = ANY(:tags)")
_EVENTS = text(
    "SELECT customer_id, event, on_day FROM retention_events WHERE customer_id = ANY(:ids)"
)
_ADD_EVENT = text(
    "INSERT INTO retention_events (customer_id, event, on_day, recorded_at)"
    " VALUES (:customer, :event, :day, :at) ON CONFLICT (customer_id, event)"
    " DO UPDATE SET on_day = excluded.on_day, recorded_at = excluded.recorded_at"
)


def lock_customers(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[int, str]]:
    """Lock the customers in order of id and return generation and state of each that exists."""
    rows = fetch(connection, _LOCK, {"ids": Uuids(ids)})
    return {customer: (generation, state) for customer, generation, state in rows}


def read_customers(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[int, str]]:
    """Return generation and state of each customer that exists, without a lock."""
    rows = fetch(connection, _READ, {"ids": Uuids(ids)})
    return {customer: (generation, state) for customer, generation, state in rows}


def add_customers(connection: Connection, ids: Iterable[UUID], at: datetime) -> None:
    """Create customers."""
    connection.execute(_ADD, {"ids": Uuids(ids), "at": at})


def raise_generations(connection: Connection, ids: Iterable[UUID], state: str) -> None:
    """Raise locked customers' generations, so that a store in flight redoes its rows."""
    connection.execute(_RAISE, {"customers": list(ids), "state": state})


def customers_with_nothing(connection: Connection, ids: Iterable[UUID], at: datetime) -> list[UUID]:
    """Return those of the active customers who have no record and no consent in force."""
    rows = connection.execute(_NOTHING_LEFT, {"customers": list(ids), "at": at})
    return list(rows.scalars())


def count_customers(connection: Connection) -> int:
    """Return how many active customers there are."""
    return int(connection.execute(_COUNT).scalar_one())


def suppressed(connection: Connection, tags: Iterable[bytes], today: date) -> dict[bytes, datetime]:
    """Return when each of ``tags`` that is still suppressed today was erased."""
    rows = connection.execute(_SUPPRESSED, {"tags": Blobs(tags), "today": today})
    return {bytes(row.tag): row.erased_at for row in rows}


def suppress(connection: Connection, tags: Iterable[bytes], at: datetime, until: date) -> None:
    """Remember that the person behind these tags was erased."""
    connection.execute(_SUPPRESS, {"tags": Blobs(tags), "at": at, "until": until})


def lift_suppression(connection: Connection, tags: Iterable[bytes]) -> None:
    """Forget an erasure: the person returned under a later consent or contract."""
    connection.execute(_UNSUPPRESS, {"tags": Blobs(tags)})


def retention_events(connection: Connection, ids: Iterable[UUID]) -> dict[tuple[UUID, str], date]:
    """Return the day of each event that started a retention clock of these customers."""
    rows = connection.execute(_EVENTS, {"ids": Uuids(ids)})
    return {(row.customer_id, row.event): row.on_day for row in rows}


def add_retention_event(
    connection: Connection, customer_id: UUID, event: str, day: date, at: datetime
) -> None:
    """Record, or correct, the day of an event."""
    row = {"customer": customer_id, "event": event, "day": day, "at": at}
    connection.execute(_ADD_EVENT, row)
