"""Statements on plans of destruction: what a plan lists, what became of it, its certificate."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.due import DueRecord

_DESTROYED_OF = text(
    "SELECT record_id, max(version) AS version FROM plan_records WHERE customer_id = :customer"
    " AND outcome = 'destroyed' GROUP BY record_id"
)
_PLAN_COLUMNS = (
    "id, as_of, policy_digest, data_digest, state, summary, request_id, created_at, created_by"
)
_ADD_PLAN = text(
    f"INSERT INTO plans ({_PLAN_COLUMNS}) VALUES (:id, :as_of, :policy_digest, :data_digest,"  # noqa: S608
    " :state, CAST(:summary AS jsonb), :request_id, :created_at, :created_by)"
)
_FIND = text(f"SELECT {_PLAN_COLUMNS} FROM plans WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_PLAN_COLUMNS} FROM plans WHERE id = :id FOR UPDATE")  # noqa: S608
_LIST = text(f"SELECT {_PLAN_COLUMNS} FROM plans ORDER BY created_at, id")  # noqa: S608
_SET_STATE = text("UPDATE plans SET state = :state WHERE id = :id")
_SET_REQUEST = text("UPDATE plans SET request_id = :request WHERE id = :id")
_ADD_RECORDS = text(
    "INSERT INTO plan_records (plan_id, customer_id, record_id, version, dataset, reason)"
    " SELECT :plan, c, r, v, d, w FROM unnest(CAST(:customers AS uuid[]), CAST(:records AS uuid[]),"
    " CAST(:versions AS integer[]), CAST(:datasets AS text[]), CAST(:reasons AS text[]))"
    " AS n (c, r, v, d, w)"
)
_ADD_CUSTOMERS = text(
    "INSERT INTO plan_customers (plan_id, chunk, customer_id, generation)"
    " SELECT :plan, (row_number() OVER (ORDER BY c.id) - 1) / :size, c.id, c.generation"
    " FROM customers c WHERE c.id IN (SELECT customer_id FROM plan_records WHERE plan_id = :plan)"
)
_CHUNKS = text("SELECT DISTINCT chunk FROM plan_customers WHERE plan_id = :plan ORDER BY chunk")
_CUSTOMERS = text(
    "SELECT customer_id FROM plan_customers WHERE plan_id = :plan AND chunk = :chunk"
    " AND state = 'planned' ORDER BY customer_id"
)
_CUSTOMERS_OF_CHUNK = text(
    "SELECT customer_id FROM plan_customers WHERE plan_id = :plan AND chunk = :chunk"
    " ORDER BY customer_id"
)
_RECORDS = text(
    "SELECT record_id, version, customer_id, dataset, reason, outcome FROM plan_records"
    " WHERE plan_id = :plan AND customer_id = ANY(:customers) ORDER BY record_id"
)
_ALL_RECORDS = text(
    "SELECT record_id, version, customer_id, dataset, reason, outcome FROM plan_records"
    " WHERE plan_id = :plan AND record_id > :after ORDER BY record_id LIMIT :most"
)
_OUTCOMES = text(
    "UPDATE plan_records p SET outcome = w.o FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:outcomes AS text[])) AS w (id, o) WHERE p.plan_id = :plan AND p.record_id = w.id"
)
_CUSTOMERS_DONE = text(
    "UPDATE plan_customers SET state = 'erased', ends_identity = customer_id = ANY(:ended)"
    " WHERE plan_id = :plan AND customer_id = ANY(:customers)"
)
_DESTROYED_BY_OTHERS = text(
    "SELECT record_id FROM plan_records WHERE record_id = ANY(:ids) AND plan_id <> :plan"
    " AND outcome = 'destroyed'"
)
_COUNTS = text(
    "SELECT dataset, reason, outcome, count(*) AS rows FROM plan_records WHERE plan_id = :plan"
    " GROUP BY dataset, reason, outcome ORDER BY dataset, reason, outcome"
)
_ENDED = text(
    "SELECT customer_id FROM plan_customers WHERE plan_id = :plan AND ends_identity"
    " ORDER BY customer_id"
)
_STILL_THERE = text(
    "SELECT (SELECT count(*) FROM records r WHERE r.id = ANY(:ids)) AS records,"
    " (SELECT count(*) FROM record_keys k WHERE k.record_id = ANY(:ids)) AS record_keys,"
    " (SELECT count(*) FROM search_index s WHERE s.record_id = ANY(:ids)) AS search_index"
)
_ADD_CERTIFICATE = text(
    "INSERT INTO certificates (id, plan_id, body, signature, issued_at)"
    " VALUES (:id, :plan, :body, :signature, :at) ON CONFLICT (plan_id) DO NOTHING"
)
_CERTIFICATE = text(
    "SELECT id, plan_id, body, signature, issued_at FROM certificates"
    " WHERE plan_id = :id OR id = :id"
)
_CERTIFICATES = text(
    "SELECT id, plan_id, body, signature, issued_at FROM certificates ORDER BY issued_at, id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be destroyed as of a day."""

    id: UUID
    as_of: date
    policy_digest: str
    data_digest: bytes
    state: str
    summary: Mapping[str, Any]
    request_id: UUID | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeCount:
    """How many records of a dataset had an outcome, by the reason they were planned for."""

    dataset: str
    reason: str
    outcome: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A signed certificate of destruction, as issued."""

    id: UUID
    plan_id: UUID
    body: str
    signature: bytes
    issued_at: datetime


def add_plan(
    connection: Connection, plan: Plan, due: Sequence[DueRecord], chunk_customers: int
) -> None:
    """Write a plan, its records, and its customers in chunks."""
    row = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    row["summary"] = json.dumps(row["summary"])
    connection.execute(_ADD_PLAN, row)
    columns = {
        "plan": plan.id,
        "customers": [one.customer_id for one in due],
        "records": [one.record_id for one in due],
        "versions": [one.version for one in due],
        "datasets": [one.dataset for one in due],
        "reasons": [one.reason for one in due],
    }
    connection.execute(_ADD_RECORDS, columns)
    connection.execute(_ADD_CUSTOMERS, {"plan": plan.id, "size": chunk_customers})


def find_plan(connection: Connection, plan_id: UUID, *, lock: bool = False) -> Plan | None:
    """Return a plan by id."""
    row = connection.execute(_LOCK if lock else _FIND, {"id": plan_id}).one_or_none()
    return None if row is None else Plan(**row._mapping)


def list_plans(connection: Connection) -> list[Plan]:
    """Return every plan, oldest first."""
    return [Plan(**row._mapping) for row in connection.execute(_LIST)]


def set_plan_state(connection: Connection, plan_id: UUID, state: str) -> None:
    """Move a plan to another state."""
    connection.execute(_SET_STATE, {"id": plan_id, "state": state})


def set_plan_request(connection: Connection, plan_id: UUID, request_id: UUID) -> None:
    """Say which request for approval stands behind a plan."""
    connection.execute(_SET_REQUEST, {"id": plan_id, "request": request_id})


def plan_chunks(connection: Connection, plan_id: UUID) -> list[int]:
    """Return the numbers of a plan's chunks."""
    return list(connection.execute(_CHUNKS, {"plan": plan_id}).scalars())


def customers_planned(connection: Connection, plan_id: UUID, chunk: int) -> list[UUID]:
    """Return the customers of a chunk that are still to be dealt with."""
    rows = connection.execute(_CUSTOMERS, {"plan": plan_id, "chunk": chunk})
    return list(rows.scalars())


def customers_of_chunk(connection: Connection, plan_id: UUID, chunk: int) -> list[UUID]:
    """Return every customer of a chunk."""
    rows = connection.execute(_CUSTOMERS_OF_CHUNK, {"plan": plan_id, "chunk": chunk})
    return list(rows.scalars())


def planned_records(
    connection: Connection, plan_id: UUID, customers: Iterable[UUID]
) -> list[DueRecord]:
    """Return what a plan lists of these customers."""
    rows = connection.execute(_RECORDS, {"plan": plan_id, "customers": list(customers)})
    return [DueRecord(**row._mapping) for row in rows]


def planned_after(connection: Connection, plan_id: UUID, after: UUID, most: int) -> list[DueRecord]:
    """Return up to ``most`` records of a plan in order of id, beginning behind ``after``."""
    rows = connection.execute(_ALL_RECORDS, {"plan": plan_id, "after": after, "most": most})
    return [DueRecord(**row._mapping) for row in rows]


def save_outcomes(connection: Connection, plan_id: UUID, outcomes: Mapping[UUID, str]) -> None:
    """Write what became of records."""
    columns = {"plan": plan_id, "ids": list(outcomes), "outcomes": list(outcomes.values())}
    connection.execute(_OUTCOMES, columns)


def destroyed_by_others(connection: Connection, plan_id: UUID, ids: Iterable[UUID]) -> set[UUID]:
    """Return which of the records another plan destroyed."""
    parameters = {"plan": plan_id, "ids": list(ids)}
    return set(connection.execute(_DESTROYED_BY_OTHERS, parameters).scalars())


def customers_dealt_with(
    connection: Connection, plan_id: UUID, customers: Iterable[UUID], ended: Iterable[UUID]
) -> None:
    """Mark customers as dealt with, and those whose identity ended."""
    row = {"plan": plan_id, "customers": list(customers), "ended": list(ended)}
    connection.execute(_CUSTOMERS_DONE, row)


def outcome_counts(connection: Connection, plan_id: UUID) -> list[OutcomeCount]:
    """Return how many records of a plan had which outcome."""
    return [OutcomeCount(**row._mapping) for row in connection.execute(_COUNTS, {"plan": plan_id})]


def identities_ended(connection: Connection, plan_id: UUID) -> list[UUID]:
    """Return the customers who had nothing left, and whose identity tags were deleted."""
    return list(connection.execute(_ENDED, {"plan": plan_id}).scalars())


def places_still_holding(connection: Connection, ids: Iterable[UUID]) -> dict[str, int]:
    """Return how many rows of each place still name these records."""
    row = connection.execute(_STILL_THERE, {"ids": list(ids)}).one()
    return dict(row._mapping)


def add_certificate(connection: Connection, certificate: Certificate) -> None:
    """Keep a certificate; a plan has one."""
    connection.execute(
        _ADD_CERTIFICATE,
        {
            "id": certificate.id,
            "plan": certificate.plan_id,
            "body": certificate.body,
            "signature": certificate.signature,
            "at": certificate.issued_at,
        },
    )


def find_certificate(connection: Connection, plan_or_certificate: UUID) -> Certificate | None:
    """Return the certificate of a plan, or with this id."""
    row = connection.execute(_CERTIFICATE, {"id": plan_or_certificate}).one_or_none()
    return None if row is None else Certificate(**row._mapping)


def list_certificates(connection: Connection) -> list[Certificate]:
    """Return every certificate, oldest first."""
    return [Certificate(**row._mapping) for row in connection.execute(_CERTIFICATES)]


def destroyed_of(connection: Connection, customer_id: UUID) -> dict[UUID, int]:
    """Return a customer's records that plans have destroyed, with the versions they had."""
    found = connection.execute(_DESTROYED_OF, {"customer": customer_id})
    return {row.record_id: row.version for row in found}
