"""Statements that find what is due for destruction, and for which reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, text

from custody.consent import CARRYING, GUARDIAN, PURPOSE

_DUE = text(
    "SELECT id AS record_id, version, customer_id, dataset, 'retention_over' AS reason"
    " FROM records WHERE ends_on < :as_of ORDER BY id"
)
_WITHDRAWN = text(
    "WITH ended AS ("
    "  SELECT customer_id, purpose, kind,"
    "         max(withdrawn_at) FILTER (WHERE withdrawn_at <= :until) AS at FROM consents"
    "   WHERE kind = ANY(:kinds) AND purpose = ANY(:purposes)"
    "   GROUP BY customer_id, purpose, kind"
    "  HAVING max(withdrawn_at) FILTER (WHERE withdrawn_at <= :until) >= max(given_at)),"
    " lost AS ("
    "  SELECT e.customer_id, e.purpose, max(coalesce((SELECT min(c.given_at) FROM consents c"
    "     WHERE e.kind = :guardian AND c.kind = :own AND c.customer_id = e.customer_id"
    "       AND c.purpose = e.purpose AND c.given_at > e.at), 'infinity')) AS until"
    "    FROM ended e GROUP BY e.customer_id, e.purpose)"
    " SELECT r.id AS record_id, r.version, r.customer_id, r.dataset,"
    " 'consent_withdrawn' AS reason FROM records r"
    " JOIN lost USING (customer_id, purpose) WHERE r.stored_at < lost.until ORDER BY r.id"
)
_OF_BATCH = text(
    "SELECT id AS record_id, version, customer_id, dataset, 'batch_reverted' AS reason"
    " FROM records WHERE batch_id = :batch ORDER BY id"
)
_OF_CUSTOMER = text(
    "SELECT id AS record_id, version, customer_id, dataset, 'customer_request' AS reason"
    " FROM records WHERE customer_id = :customer ORDER BY id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueRecord:
    """One record that a plan lists, why, and what became of it."""

    record_id: UUID
    version: int
    customer_id: UUID
    dataset: str
    reason: str
    outcome: str = "planned"


def due_by_retention(connection: Connection, as_of: date) -> list[DueRecord]:
    """Return the records whose retention period ended before ``as_of``."""
    return [DueRecord(**row._mapping) for row in connection.execute(_DUE, {"as_of": as_of})]


def due_by_withdrawal(
    connection: Connection, purposes: Iterable[str], until: datetime
) -> list[DueRecord]:
    """Return the records under consent-based purposes whose subjects withdrew and did not return.

    The rule is :func:`custody.consent.withdrawn_purposes`, here for everybody at once.
    """
    kinds = {"kinds": list(CARRYING), "guardian": GUARDIAN, "own": PURPOSE}
    parameters = {"purposes": list(purposes), "until": until, **kinds}
    return [DueRecord(**row._mapping) for row in connection.execute(_WITHDRAWN, parameters)]


def due_of_batch(connection: Connection, batch_id: UUID) -> list[DueRecord]:
    """Return every record that a batch brought."""
    return [DueRecord(**r._mapping) for r in connection.execute(_OF_BATCH, {"batch": batch_id})]


def due_of_customer(connection: Connection, customer_id: UUID) -> list[DueRecord]:
    """Return every record of a customer."""
    rows = connection.execute(_OF_CUSTOMER, {"customer": customer_id})
    return [DueRecord(**row._mapping) for row in rows]
