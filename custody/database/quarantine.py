"""Statements on the quarantine: refused rows, until they get out or their days are over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Blobs

_ADD_QUARANTINE = text(
    "INSERT INTO quarantine"
    " (id, batch_id, chunk, row_number, stage, codes, row_tag, sealed, held_on)"
    " SELECT i, :b, :c, n, :stage, string_to_array(k, ','), t, s, :day"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:codes AS text[]),"
    " CAST(:tags AS bytea[]), CAST(:sealed AS bytea[])) AS w (i, n, k, t, s)"
    " ON CONFLICT (batch_id, row_number) DO UPDATE SET codes = excluded.codes,"
    " sealed = excluded.sealed, stage = excluded.stage, state = 'held'"
)
_QUARANTINE = "id, batch_id, chunk, row_number, stage, codes, row_tag, sealed, state, held_on"
_HELD = text(
    f"SELECT {_QUARANTINE} FROM quarantine WHERE state = 'held'"  # noqa: S608
    " AND (CAST(:b AS uuid) IS NULL OR batch_id = :b) ORDER BY batch_id, row_number"
)
_DROP_QUARANTINE = text("DELETE FROM quarantine WHERE batch_id = :b AND row_number = ANY(:numbers)")
_DROP_BATCH_QUARANTINE = text("DELETE FROM quarantine WHERE batch_id = :b")
_EXPIRE = text("DELETE FROM quarantine WHERE held_on < :before RETURNING batch_id")
_HELD_BEFORE = text(
    "SELECT DISTINCT batch_id FROM quarantine WHERE held_on < :before ORDER BY batch_id"
)
_WITHOUT_HELD = text(
    "SELECT id FROM batches WHERE id = ANY(:ids) AND state <> 'open'"
    " AND NOT EXISTS (SELECT FROM quarantine q WHERE q.batch_id = batches.id) ORDER BY id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedRow:
    """A refused row: its codes, and its minimised values, sealed, where they may be kept."""

    id: UUID
    batch_id: UUID
    chunk: int
    row_number: int
    stage: str
    codes: Sequence[str]
    row_tag: bytes
    sealed: bytes | None
    held_on: date
    state: str = "held"


def add_quarantine(
    connection: Connection, batch_id: UUID, chunk: int, rows: Sequence[QuarantinedRow]
) -> None:
    """Hold refused rows of one chunk and stage."""
    if not rows:
        return
    parameters = {
        "b": batch_id,
        "c": chunk,
        "stage": rows[0].stage,
        "day": rows[0].held_on,
        "ids": [row.id for row in rows],
        "numbers": [row.row_number for row in rows],
        "codes": [",".join(row.codes) for row in rows],
        "tags": Blobs(row.row_tag for row in rows),
        "sealed": Blobs(row.sealed for row in rows),
    }
    connection.execute(_ADD_QUARANTINE, parameters)


def held_rows(connection: Connection, batch_id: UUID | None = None) -> list[QuarantinedRow]:
    """Return the rows in quarantine, of one batch or of all."""
    return [QuarantinedRow(**row._mapping) for row in connection.execute(_HELD, {"b": batch_id})]


def drop_quarantine(
    connection: Connection, batch_id: UUID, row_numbers: Iterable[int] | None = None
) -> None:
    """Delete rows from the quarantine, or all of a batch."""
    if row_numbers is None:
        connection.execute(_DROP_BATCH_QUARANTINE, {"b": batch_id})
    else:
        connection.execute(_DROP_QUARANTINE, {"b": batch_id, "numbers": list(row_numbers)})


def expire_quarantine(connection: Connection, before: date) -> list[UUID]:
    """Delete the rows held since before a day and return whose batch each was."""
    return list(connection.execute(_EXPIRE, {"before": before}).scalars())


def batches_held_before(connection: Connection, before: date) -> list[UUID]:
    """Return the batches, in order, of which rows are held since before a day."""
    return list(connection.execute(_HELD_BEFORE, {"before": before}).scalars())


def batches_without_held(connection: Connection, batch_ids: Iterable[UUID]) -> list[UUID]:
    """Return those of the batches, read to their end, that have no row in quarantine."""
    return list(connection.execute(_WITHOUT_HELD, {"ids": list(batch_ids)}).scalars())
