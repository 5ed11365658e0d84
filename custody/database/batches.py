"""Statements on batches, their chunks and the intake area."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints

_ADD = text(
    "INSERT INTO batches (id, source, dataset, purpose, namespace, content_tag, location,"
    " policy_digest, state, chunks, opened_at, opened_by, layout) VALUES (:id, :source, :dataset,"
    " :purpose, :namespace, :content_tag, :location, :policy_digest, 'open', :chunks, :opened_at,"
    " :opened_by, CAST(:layout AS jsonb))"
    " ON CONFLICT (source, content_tag) WHERE state <> 'reverted' DO NOTHING"
)
_COLUMNS = (
    "id, source, dataset, purpose, namespace, content_tag, location, policy_digest, state, chunks,"
    " opened_at, opened_by, layout"
)
_FIND = text(f"SELECT {_COLUMNS} FROM batches WHERE id = :id")  # noqa: S608
_BY_CONTENT = text(
    f"SELECT {_COLUMNS} FROM batches WHERE source = :source AND content_tag = :content_tag"  # noqa: S608
    " AND state <> 'reverted'"
)
_LIST = text(f"SELECT {_COLUMNS} FROM batches ORDER BY opened_at, id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM batches WHERE id = :id FOR UPDATE")  # noqa: S608
_FORGET = text("UPDATE batches SET location = NULL WHERE id = ANY(:ids)")
_LOCK_THOSE = text("SELECT id FROM batches WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_SHARE = text("SELECT FROM batches WHERE id = :id FOR SHARE")
_SET_STATE = text("UPDATE batches SET state = :state WHERE id = :id")
_SET_CHUNKS = text("UPDATE batches SET chunks = :chunks WHERE id = :id")
_CHUNK_COLUMNS = (
    "batch_id, chunk, state, read, accepted, refused, unchanged, stored, replaced, reasons,"
    " warnings, dropped, quality, basis"
)
_CHUNK = text(f"SELECT {_CHUNK_COLUMNS} FROM batch_chunks WHERE batch_id = :b AND chunk = :c")  # noqa: S608
_CHUNKS = text(f"SELECT {_CHUNK_COLUMNS} FROM batch_chunks WHERE batch_id = :b ORDER BY chunk")  # noqa: S608
_STATES = text("SELECT chunk, state FROM batch_chunks WHERE batch_id = :b")
_CLAIM = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:what, 0))")
_LOCK_CHUNK = text(
    f"SELECT {_CHUNK_COLUMNS} FROM batch_chunks WHERE batch_id = :b AND chunk = :c FOR UPDATE"  # noqa: S608
)
_SAVE_CHUNK = text(
    f"INSERT INTO batch_chunks ({_CHUNK_COLUMNS}) VALUES (:batch_id, :chunk, :state, :read,"  # noqa: S608
    " :accepted, :refused, :unchanged, :stored, :replaced, CAST(:reasons AS jsonb),"
    " CAST(:warnings AS jsonb), CAST(:dropped AS jsonb), CAST(:quality AS jsonb),"
    " CAST(:basis AS jsonb))"
    " ON CONFLICT (batch_id, chunk) DO UPDATE SET state = excluded.state, read = excluded.read,"
    " accepted = excluded.accepted, refused = excluded.refused, unchanged = excluded.unchanged,"
    " stored = excluded.stored, replaced = excluded.replaced, reasons = excluded.reasons,"
    " warnings = excluded.warnings, quality = excluded.quality, basis = excluded.basis"
)
_ADD_INTAKE = text(
    "INSERT INTO intake (batch_id, chunk, sealed) VALUES (:b, :c, :sealed)"
    " ON CONFLICT (batch_id, chunk) DO UPDATE SET sealed = excluded.sealed"
)
_INTAKE = text("SELECT sealed FROM intake WHERE batch_id = :b AND chunk = :c")
_INTAKE_CHUNKS = text("SELECT batch_id, chunk FROM intake ORDER BY batch_id, chunk")
_DROP_INTAKE = text("DELETE FROM intake WHERE batch_id = :b AND chunk = :c")
_DROP_ALL_INTAKE = text("DELETE FROM intake WHERE batch_id = :b")
_ADD_ROWS = text(
    "INSERT INTO batch_rows (batch_id, chunk, row_number, record_tag, content_tag, accepted)"
    " SELECT :b, :c, n, r, t, a = 1 FROM unnest(CAST(:numbers AS integer[]),"
    " CAST(:records AS bytea[]), CAST(:contents AS bytea[]), CAST(:accepted AS integer[]))"
    " AS w (n, r, t, a)"
)
_DROP_ROWS = text("DELETE FROM batch_rows WHERE batch_id = :b")
# Materialised: nothing is known of rows that were written a moment ago, and a planner that takes
# them for few reads all of them again for each.
_REPEATS = text(
    "WITH g AS MATERIALIZED (SELECT record_tag, count(DISTINCT content_tag) AS contents,"
    "   min(row_number) FILTER (WHERE accepted) AS first"
    "   FROM batch_rows WHERE batch_id = :b GROUP BY record_tag HAVING count(*) > 1)"
    " SELECT r.chunk, r.row_number, r.accepted, g.contents > 1 AS contradicts,"
    " r.row_number = g.first AS first FROM g JOIN batch_rows r"
    " ON r.batch_id = :b AND r.record_tag = g.record_tag ORDER BY r.row_number"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One reading of one source.

    Attributes:
        layout: How many rows a chunk has, and what its reader knows of the source.
    """

    id: UUID
    source: str
    dataset: str
    purpose: str
    namespace: str
    content_tag: bytes
    location: bytes | None
    policy_digest: str
    state: str
    chunks: int
    opened_at: datetime
    opened_by: str
    layout: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkReceipt:
    """What became of one chunk, in counts of its rows.

    Attributes:
        quality: The digests of the suite and of its verdict, with counts of its checks by stage:
            ``{"ingest": [[checked, failed], …]}``.
        basis: By what store knows that the consents are as ingest judged them; None where it has
            to judge them itself.
    """

    batch_id: UUID
    chunk: int
    state: str
    read: int = 0
    accepted: int = 0
    refused: int = 0
    unchanged: int = 0
    stored: int = 0
    replaced: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    basis: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """A row whose record key its batch brings more than once."""

    chunk: int
    row_number: int
    accepted: bool
    contradicts: bool
    first: bool


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row's record key and content, as tags."""

    row_number: int
    record_tag: bytes
    content_tag: bytes
    accepted: bool


def add_batch(connection: Connection, batch: Batch) -> None:
    """Open a batch unless the same content of the same source has one."""
    row = {name: getattr(batch, name) for name in Batch.__dataclass_fields__ if name != "state"}
    row["layout"] = json.dumps(row["layout"])
    connection.execute(_ADD, row)


def find_batch(connection: Connection, batch_id: UUID) -> Batch | None:
    """Return a batch by id."""
    row = connection.execute(_FIND, {"id": batch_id}).one_or_none()
    return None if row is None else Batch(**row._mapping)


def find_batch_by_content(connection: Connection, source: str, content_tag: bytes) -> Batch | None:
    """Return the batch, not reverted, that read this content from this source."""
    row = connection.execute(_BY_CONTENT, {"source": source, "content_tag": content_tag})
    found = row.one_or_none()
    return None if found is None else Batch(**found._mapping)


def list_batches(connection: Connection) -> list[Batch]:
    """Return every batch, oldest first."""
    return [Batch(**row._mapping) for row in connection.execute(_LIST)]


def lock_batch(connection: Connection, batch_id: UUID) -> Batch:
    """Lock a batch that exists and return it."""
    return Batch(**connection.execute(_LOCK, {"id": batch_id}).one()._mapping)


def lock_batches(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Lock batches in order of id and return those that there are."""
    return set(connection.execute(_LOCK_THOSE, {"ids": list(ids)}).scalars())


def share_batch(connection: Connection, batch_id: UUID) -> None:
    """Keep a batch's state and keys as they are until the transaction ends; others may as well."""
    connection.execute(_SHARE, {"id": batch_id})


def set_batch_state(connection: Connection, batch_id: UUID, state: str) -> None:
    """Move a batch to another state."""
    connection.execute(_SET_STATE, {"id": batch_id, "state": state})


def forget_locations(connection: Connection, ids: Collection[UUID]) -> None:
    """Forget where batches were read from."""
    connection.execute(_FORGET, {"ids": list(ids)})


def set_batch_chunks(connection: Connection, batch_id: UUID, chunks: int) -> None:
    """Say how many chunks a batch has."""
    connection.execute(_SET_CHUNKS, {"id": batch_id, "chunks": chunks})


def find_chunk(
    connection: Connection, batch_id: UUID, chunk: int, *, lock: bool = False
) -> ChunkReceipt | None:
    """Return a chunk's receipt, if it was ingested."""
    statement = _LOCK_CHUNK if lock else _CHUNK
    row = connection.execute(statement, {"b": batch_id, "c": chunk}).one_or_none()
    return None if row is None else ChunkReceipt(**row._mapping)


def list_chunks(connection: Connection, batch_id: UUID) -> list[ChunkReceipt]:
    """Return the receipts of a batch's chunks in order."""
    return [ChunkReceipt(**row._mapping) for row in connection.execute(_CHUNKS, {"b": batch_id})]


def chunk_states(connection: Connection, batch_id: UUID) -> dict[int, str]:
    """Return the state of each chunk that was ingested, by number."""
    rows = connection.execute(_STATES, {"b": batch_id})
    return {row.chunk: row.state for row in rows}


def claim_chunk(connection: Connection, batch_id: UUID, chunk: int, stage: str) -> bool:
    """Take a chunk for oneself until the transaction ends; False while somebody else has it."""
    found = connection.execute(_CLAIM, {"what": f"{stage}/{batch_id}/{chunk}"})
    return bool(found.scalar_one())


def save_chunk(connection: Connection, receipt: ChunkReceipt) -> None:
    """Write a chunk's receipt, replacing what it said before."""
    row: dict[str, Any] = {n: getattr(receipt, n) for n in ChunkReceipt.__dataclass_fields__}
    for name in ("reasons", "warnings", "dropped", "quality"):
        row[name] = json.dumps(row[name])
    row["basis"] = None if receipt.basis is None else json.dumps(receipt.basis)
    connection.execute(_SAVE_CHUNK, row)


def put_intake(connection: Connection, batch_id: UUID, chunk: int, sealed: bytes) -> None:
    """Write a chunk's sealed rows into the intake area."""
    connection.execute(_ADD_INTAKE, {"b": batch_id, "c": chunk, "sealed": sealed})


def find_intake(connection: Connection, batch_id: UUID, chunk: int) -> bytes | None:
    """Return a chunk's sealed rows, None when they were stored already."""
    sealed = connection.execute(_INTAKE, {"b": batch_id, "c": chunk}).scalar_one_or_none()
    return None if sealed is None else bytes(sealed)


def intake_chunks(connection: Connection) -> list[tuple[UUID, int]]:
    """Return batch and number of every chunk that waits in the intake area."""
    return [(row.batch_id, row.chunk) for row in connection.execute(_INTAKE_CHUNKS)]


def drop_intake(connection: Connection, batch_id: UUID, chunk: int | None = None) -> None:
    """Delete the intake copy of a chunk, or of the whole batch."""
    if chunk is None:
        connection.execute(_DROP_ALL_INTAKE, {"b": batch_id})
    else:
        connection.execute(_DROP_INTAKE, {"b": batch_id, "c": chunk})


def add_batch_rows(
    connection: Connection, batch_id: UUID, chunk: int, rows: Sequence[BatchRow]
) -> None:
    """Note which record keys a chunk brought."""
    parameters = {
        "b": batch_id,
        "c": chunk,
        "numbers": Ints(row.row_number for row in rows),
        "records": Blobs(row.record_tag for row in rows),
        "contents": Blobs(row.content_tag for row in rows),
        "accepted": Ints(row.accepted for row in rows),
    }
    connection.execute(_ADD_ROWS, parameters)


def find_repeats(connection: Connection, batch_id: UUID) -> list[Repeat]:
    """Return every row whose record key occurs more than once in the batch."""
    rows = connection.execute(_REPEATS, {"b": batch_id})
    return [Repeat(**{**row._mapping, "first": bool(row.first)}) for row in rows]


def drop_batch_rows(connection: Connection, batch_id: UUID) -> None:
    """Forget a batch's record keys: they were compared."""
    connection.execute(_DROP_ROWS, {"b": batch_id})
