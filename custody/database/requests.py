"""Statements on requests, the rows they froze, and their votes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from custody.approval import FrozenRow

_ROWS_AT_ONCE: Final = 10_000
_COLUMNS = (
    "id, revision, kind, state, ask, body, digest, requester, statement, filed_at, decided_at,"
    " policy_digest, reasons, announced_at"
)
_FIND = text(f"SELECT {_COLUMNS} FROM requests WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM requests WHERE id = :id FOR UPDATE")  # noqa: S608
_LIST = text(
    f"SELECT {_COLUMNS} FROM requests"  # noqa: S608
    " WHERE (CAST(:state AS text) IS NULL OR state = :state) ORDER BY id"
)
_PUT = text(
    "INSERT INTO requests (id, revision, kind, state, ask, body, digest, requester, statement,"
    " filed_at, policy_digest) VALUES (:id, :revision, :kind, :state, :ask, :body, :digest,"
    " :requester, :statement, :filed_at, :policy_digest) ON CONFLICT (id) DO UPDATE SET"
    " revision = excluded.revision, state = excluded.state, ask = excluded.ask,"
    " body = excluded.body, digest = excluded.digest, requester = excluded.requester,"
    " statement = excluded.statement, filed_at = excluded.filed_at, decided_at = NULL,"
    " policy_digest = excluded.policy_digest, reasons = '[]', announced_at = NULL"
)
_DECIDE = text(
    "UPDATE requests SET state = :state, reasons = CAST(:reasons AS jsonb), decided_at = :at,"
    " announced_at = NULL WHERE id = :id"
)
_MOVE = text("UPDATE requests SET state = :state, announced_at = NULL WHERE id = :id")
_UNANNOUNCED = text(
    "SELECT id, kind, state FROM requests"
    " WHERE announced_at IS NULL AND state IN ('filed', 'approved') ORDER BY id"
)
_ANNOUNCED = text(
    "UPDATE requests SET announced_at = :at"
    " WHERE id = :id AND state = :state AND announced_at IS NULL"
)
_FREEZE = text(
    "INSERT INTO request_records (request_id, revision, record_id, version, customer_id)"
    " SELECT :request, :revision, * FROM unnest(CAST(:records AS uuid[]),"
    " CAST(:versions AS integer[]), CAST(:customers AS uuid[]))"
)
_FROZEN = text(
    "SELECT record_id, version, customer_id FROM request_records"
    " WHERE request_id = :request AND revision = :revision ORDER BY record_id"
)
_PLANNED = text(
    "SELECT record_id, version, customer_id FROM plan_records"
    " WHERE plan_id = :plan ORDER BY record_id"
)
_CUSTOMERS = text(
    "SELECT DISTINCT customer_id FROM request_records"
    " WHERE request_id = :request AND revision = :revision ORDER BY customer_id"
)
# The join goes by the customer too, for that is where records have an index.
_PRESENT = text(
    "SELECT q.record_id, q.version, q.customer_id, r.version AS present_version, r.ends_on"
    " FROM request_records q LEFT JOIN records r"
    " ON r.customer_id = q.customer_id AND r.id = q.record_id"
    " WHERE q.request_id = :request AND q.revision = :revision"
    " AND (CAST(:customers AS uuid[]) IS NULL OR q.customer_id = ANY(:customers))"
    " ORDER BY q.record_id"
)
_CANDIDATES = text(
    "SELECT id AS record_id, version, customer_id, version AS present_version, ends_on"
    " FROM records WHERE dataset = :dataset"
    " AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)"
    " AND (CAST(:customers AS uuid[]) IS NULL OR customer_id = ANY(:customers)) ORDER BY id"
)
_VOTES = text(
    "SELECT staff_id, kid, decision, token, at FROM votes"
    " WHERE request_id = :request AND revision = :revision ORDER BY at, staff_id"
)
_ADD_VOTE = text(
    "INSERT INTO votes (request_id, revision, staff_id, kid, decision, jti, token, at)"
    " VALUES (:request, :revision, :staff_id, :kid, :decision, :jti, :token, :at)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestRow:
    """A request as the database holds it; a draft has no requester and no body yet."""

    id: UUID
    revision: int
    kind: str
    state: str
    ask: str
    body: str
    digest: bytes
    requester: UUID | None
    statement: str
    filed_at: datetime
    policy_digest: str
    decided_at: datetime | None = None
    reasons: list[dict[str, str | int]] = field(default_factory=list)
    announced_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentRow:
    """A frozen row beside the record as it is now: None where the record is gone."""

    record_id: UUID
    version: int
    customer_id: UUID
    present_version: int | None
    ends_on: date | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteRow:
    """One vote, with the token that proves it."""

    staff_id: UUID
    kid: str
    decision: str
    token: str
    at: datetime


def put_request(connection: Connection, row: RequestRow) -> None:
    """Write a request, or its next revision over the one before."""
    columns = {name: getattr(row, name) for name in RequestRow.__dataclass_fields__}
    connection.execute(_PUT, columns)


def find_request(connection: Connection, request_id: UUID) -> RequestRow | None:
    """Return the request without locking it, None if there is none."""
    return _one(connection.execute(_FIND, {"id": request_id}).mappings().one_or_none())


def lock_request(connection: Connection, request_id: UUID) -> RequestRow | None:
    """Return the request and lock it until the end of the transaction."""
    return _one(connection.execute(_LOCK, {"id": request_id}).mappings().one_or_none())


def list_requests(connection: Connection, state: str | None = None) -> list[RequestRow]:
    """Return the requests in a state, or all."""
    rows = connection.execute(_LIST, {"state": state}).mappings()
    return [RequestRow(**row) for row in rows]


def decide(
    connection: Connection, request_id: UUID, state: str, reasons: str, at: datetime
) -> None:
    """Note what was decided on a locked request; ``reasons`` is JSON."""
    row = {"id": request_id, "state": state, "reasons": reasons, "at": at}
    connection.execute(_DECIDE, row)


def move(connection: Connection, request_id: UUID, state: str) -> None:
    """Move a locked request to another state, which is yet to be announced."""
    connection.execute(_MOVE, {"id": request_id, "state": state})


def unannounced(connection: Connection) -> list[tuple[UUID, str, str]]:
    """Return id, kind and state of the requests whose state nobody announced."""
    return [(row.id, row.kind, row.state) for row in connection.execute(_UNANNOUNCED)]


def mark_announced(connection: Connection, request_id: UUID, state: str, at: datetime) -> bool:
    """Note that the request's state was announced; False if it moved on meanwhile."""
    row = {"id": request_id, "state": state, "at": at}
    return bool(connection.execute(_ANNOUNCED, row).rowcount)


def freeze(
    connection: Connection, request_id: UUID, revision: int, rows: Sequence[FrozenRow]
) -> None:
    """Write down which versions of which records the request covers."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        columns = {
            "request": request_id,
            "revision": revision,
            "records": [row.record_id for row in some],
            "versions": [row.version for row in some],
            "customers": [row.customer_id for row in some],
        }
        connection.execute(_FREEZE, columns)


def frozen_rows(connection: Connection, request_id: UUID, revision: int) -> Iterator[FrozenRow]:
    """Yield the frozen rows in order of record id."""
    rows = connection.execute(_FROZEN, {"request": request_id, "revision": revision}).mappings()
    return (FrozenRow(**row) for row in rows)


def planned_rows(connection: Connection, plan_id: UUID) -> Iterator[FrozenRow]:
    """Yield the rows a plan would destroy, in order of record id."""
    rows = connection.execute(_PLANNED, {"plan": plan_id}).mappings()
    return (FrozenRow(**row) for row in rows)


def customers_of(connection: Connection, request_id: UUID, revision: int) -> list[UUID]:
    """Return whose records a request covers, in order of id."""
    row = {"request": request_id, "revision": revision}
    return list(connection.execute(_CUSTOMERS, row).scalars())


def present_rows(
    connection: Connection,
    request_id: UUID,
    revision: int,
    customers: Iterable[UUID] | None = None,
) -> list[PresentRow]:
    """Return the frozen rows, of these customers or all, beside the records as they are now."""
    chosen = None if customers is None else list(customers)
    row = {"request": request_id, "revision": revision, "customers": chosen}
    return [PresentRow(**found) for found in connection.execute(_PRESENT, row).mappings()]


def candidate_rows(
    connection: Connection,
    dataset: str,
    purpose: str | None,
    customers: Iterable[UUID] | None,
) -> list[PresentRow]:
    """Return the records a request could cover, in order of record id."""
    chosen = None if customers is None else list(customers)
    row = {"dataset": dataset, "purpose": purpose, "customers": chosen}
    return [PresentRow(**found) for found in connection.execute(_CANDIDATES, row).mappings()]


def votes_on(connection: Connection, request_id: UUID, revision: int) -> list[VoteRow]:
    """Return the votes on one revision of a request, oldest first."""
    rows = connection.execute(_VOTES, {"request": request_id, "revision": revision}).mappings()
    return [VoteRow(**row) for row in rows]


def add_vote(
    connection: Connection, request_id: UUID, revision: int, vote: VoteRow, jti: str
) -> None:
    """Add a vote; the database admits one per person and revision."""
    columns = {name: getattr(vote, name) for name in VoteRow.__dataclass_fields__}
    which = {"request": request_id, "revision": revision, "jti": jti}
    connection.execute(_ADD_VOTE, columns | which)


def _one(row: RowMapping | None) -> RequestRow | None:
    return None if row is None else RequestRow(**row)
