"""Statements on legal holds."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Uuids

_ADD_HOLD = text(
    "INSERT INTO holds (id, customer_id, record_id, reason, set_at, set_by)"
    " VALUES (:id, :customer_id, :record_id, :reason, :set_at, :set_by)"
)
_LIFT_HOLD = text(
    "UPDATE holds SET lifted_at = :at, lifted_by = :by WHERE id = :id AND lifted_at IS NULL"
    " RETURNING customer_id"
)
_HOLD = text("SELECT customer_id FROM holds WHERE id = :id AND lifted_at IS NULL")
_HOLDS = text(
    "SELECT id, customer_id, record_id, reason, set_at, set_by FROM holds WHERE lifted_at IS NULL"
    " AND (CAST(:customers AS uuid[]) IS NULL OR customer_id = ANY(:customers)) ORDER BY id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A legal hold on a customer, or on one record."""

    id: UUID
    customer_id: UUID
    record_id: UUID | None
    reason: str
    set_at: datetime
    set_by: str

    def covers(self, record_id: UUID) -> bool:
        """Whether the hold keeps this record of its customer."""
        return self.record_id is None or self.record_id == record_id


def add_hold(connection: Connection, hold: Hold) -> None:
    """Set a hold; the customer is locked by the caller."""
    row = {name: getattr(hold, name) for name in Hold.__dataclass_fields__}
    connection.execute(_ADD_HOLD, row)


def held_customer(connection: Connection, hold_id: UUID) -> UUID | None:
    """Return whom a hold in force concerns."""
    found: UUID | None = connection.execute(_HOLD, {"id": hold_id}).scalar_one_or_none()
    return found


def lift_hold(connection: Connection, hold_id: UUID, by: str, at: datetime) -> UUID | None:
    """Lift a hold and return whom it concerned, None when it was not in force."""
    row = {"id": hold_id, "by": by, "at": at}
    found: UUID | None = connection.execute(_LIFT_HOLD, row).scalar_one_or_none()
    return found


def holds_on(connection: Connection, customers: Iterable[UUID] | None = None) -> list[Hold]:
    """Return the holds in force, on these customers or on all."""
    chosen = None if customers is None else Uuids(customers)
    return [Hold(**row._mapping) for row in connection.execute(_HOLDS, {"customers": chosen})]
