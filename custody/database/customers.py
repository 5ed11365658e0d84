"""Statements on customers, their identity tags, suppression tags and retention events."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints, Texts, Uuids
from custody.database.copying import fetch

_LOCK: Final = (
    "SELECT id, generation, state FROM customers WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"
)
_READ: Final = "SELECT id, generation, state FROM customers WHERE id = ANY(%(ids)s)"
_ADD = text(
    "INSERT INTO customers (id, created_at) SELECT id, :at FROM unnest(CAST(:ids AS uuid[])) id"
)
_BY_TAG: Final = "SELECT tag, customer_id FROM identity_tags WHERE tag = ANY(%(tags)s)"
_SINGLE: Final = (
    "SELECT customer_id, reference, tag FROM identity_tags"
    " WHERE customer_id = ANY(%(customers)s) AND single"
)
_ADD_TAGS = text(
    "INSERT INTO identity_tags (tag, customer_id, reference, single, suppression, epoch)"
    " SELECT t, c, r, s = 1, x, 1 FROM unnest(CAST(:tags AS bytea[]), CAST(:customers AS uuid[]),"
    " CAST(:references AS text[]), CAST(:singles AS integer[]), CAST(:suppressions AS bytea[]))"
    " AS n (t, c, r, s, x)"
    " ON CONFLICT (tag) DO NOTHING"
)
# Each of the two indexes by customer has some of the tags.
_OF_CUSTOMERS: Final = (
    "(single AND customer_id = ANY(:customers) OR NOT single AND customer_id = ANY(:customers))"
)
_DELETE_TAGS = text(
    f"DELETE FROM identity_tags WHERE {_OF_CUSTOMERS} RETURNING suppression"  # noqa: S608
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
_TAGS_LEFT = text(f"SELECT count(*) FROM identity_tags WHERE {_OF_CUSTOMERS}")  # noqa: S608
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


class IdentityTag(msgspec.Struct, frozen=True, kw_only=True):
    """One subject reference of one customer, as a tag."""

    tag: bytes
    customer_id: UUID
    reference: str
    single: bool
    suppression: bytes


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


def customers_by_tag(connection: Connection, tags: Iterable[bytes]) -> dict[bytes, UUID]:
    """Return whose tag each known one of ``tags`` is."""
    return dict(fetch(connection, _BY_TAG, {"tags": Blobs(tags)}))


def single_tags(connection: Connection, customers: Iterable[UUID]) -> dict[tuple[UUID, str], bytes]:
    """Return the one tag of each single-valued reference that the customers have."""
    rows = fetch(connection, _SINGLE, {"customers": Uuids(customers)})
    return {(customer, reference): tag for customer, reference, tag in rows}


def add_tags(connection: Connection, tags: Sequence[IdentityTag]) -> int:
    """Add identity tags and return how many were new; a tag that is there keeps its customer."""
    result = connection.execute(
        _ADD_TAGS,
        {
            "tags": Blobs(tag.tag for tag in tags),
            "customers": Uuids(tag.customer_id for tag in tags),
            "references": Texts(tag.reference for tag in tags),
            "singles": Ints(tag.single for tag in tags),
            "suppressions": Blobs(tag.suppression for tag in tags),
        },
    )
    return result.rowcount


def delete_tags(connection: Connection, ids: Iterable[UUID]) -> list[bytes]:
    """Delete every identity tag of the customers and return their suppression tags."""
    rows = connection.execute(_DELETE_TAGS, {"customers": list(ids)})
    return [bytes(tag) for tag in rows.scalars()]


def count_tags(connection: Connection, ids: Iterable[UUID]) -> int:
    """Return how many identity tags the customers have."""
    return int(connection.execute(_TAGS_LEFT, {"customers": list(ids)}).scalar_one())


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
