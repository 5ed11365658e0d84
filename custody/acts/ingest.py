"""Ingest, per chunk: read, check, find the lawful basis, minimise, seal into intake or refuse.

1. Values are normalised, and fields the purpose does not need are dropped and counted (PIPL art.
6). 2. Rows that repeat what is stored, or an earlier row of the chunk, are ``unchanged``. 3.
Great Expectations judges the chunk. 4. Every row's lawful basis is judged, whatever its quality.
5. Refused rows go to quarantine with all their codes: with sealed values where only quality
refuses them, without any where the lawful basis is missing (P13). 6. Accepted rows are sealed
into intake.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from custody.acts.batches import facts_of
from custody.acts.claiming import written_meanwhile
from custody.acts.context import Actor, Custody
from custody.acts.examining import Examined, Row, examine_chunk, raw_values
from custody.acts.gates import RETRIED
from custody.acts.intake_area import RefusedRow, hold_rows, write_intake
from custody.acts.recording import record
from custody.database import batches as tables
from custody.database.batches import Batch, BatchRow, ChunkReceipt
from custody.database.engine import transaction
from custody.database.quality import keep_suite
from custody.intake import IntakeRow
from custody.policy.model import Dataset, Scope
from custody.rows import Chunk
from custody.steps import reached


def ingest_chunk(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    chunk: Chunk,
    *,
    within: Callable[[Connection], None] | None = None,
) -> ChunkReceipt:
    """Check a chunk and write it: intake, quarantine, receipt and ledger entry together.

    A chunk that was written already is left as it is.

    Args:
        within: What else belongs to the same transaction, done before the rows are written.
    """
    with transaction(custody.data) as connection:
        known = tables.find_chunk(connection, batch.id, chunk.number)
    if known is not None:
        return known
    examined = examine_chunk(custody, batch, chunk)
    reached("ingest:chunk-examined")
    receipt = _receipt(batch, chunk, examined)
    with transaction(custody.data) as connection:
        known = written_meanwhile(connection, batch.id, chunk.number)
        if known is not None:
            return known
        if within is not None:
            within(connection)
            receipt = replace(receipt, quality={**receipt.quality, RETRIED: 1})
        _write(custody, connection, batch, chunk.number, examined)
        keep_suite(connection, examined.verdict.suite)
        tables.save_chunk(connection, receipt)
        record(connection, custody, actor, "chunk:ingest:completed", facts_of(batch, receipt))
    reached("ingest:chunk-written")
    return receipt


def dry_receipt(custody: Custody, batch: Batch, chunk: Chunk) -> ChunkReceipt:
    """Return what :func:`ingest_chunk` would do, and write nothing."""
    return _receipt(batch, chunk, examine_chunk(custody, batch, chunk))


def _receipt(batch: Batch, chunk: Chunk, examined: Examined) -> ChunkReceipt:
    return ChunkReceipt(
        batch_id=batch.id,
        chunk=chunk.number,
        state="ingested",
        read=len(examined.accepted) + len(examined.refused),
        accepted=len(examined.accepted),
        refused=len(examined.refused),
        unchanged=examined.unchanged,
        reasons=examined.reasons,
        warnings=examined.warnings,
        dropped=examined.dropped,
        quality=examined.verdict.receipt(),
        basis=None if examined.basis is None else examined.basis.facts(),
    )


def _write(
    custody: Custody, connection: Connection, batch: Batch, chunk: int, examined: Examined
) -> None:
    dataset = custody.policy.dataset(batch.dataset)
    scope = custody.policy.scope(batch.purpose, batch.dataset)
    write_intake(custody, connection, batch.id, chunk, list(map(_intake_row, examined.accepted)))
    refused = [
        RefusedRow(
            row=_refused_row(dataset, scope, row), codes=row.codes, keep_values=not row.kept_back
        )
        for row in examined.refused
    ]
    hold_rows(custody, connection, batch.id, chunk, "ingest", refused)
    named = [
        BatchRow(
            row_number=row.number,
            record_tag=row.key_tag,
            content_tag=row.content_tag,
            accepted=not row.codes,
        )
        for row in (*examined.accepted, *examined.refused)
        if row.key_tag
    ]
    tables.add_batch_rows(connection, batch.id, chunk, named)


def _refused_row(dataset: Dataset, scope: Scope, row: Row) -> IntakeRow:
    """Return a refused row with its values as they were written, readable or not."""
    return IntakeRow(
        number=row.number,
        values={
            dataset.field(name).number: text for name, text in raw_values(row.raw, scope).items()
        },
        content_tag=row.content_tag,
    )


def _intake_row(row: Row) -> IntakeRow:
    return IntakeRow(number=row.number, values=row.payload, content_tag=row.content_tag)
