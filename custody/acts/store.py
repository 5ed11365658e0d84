"""Store, per chunk: open intake, find whose each row is, classify, seal, index, write.

1. The chunk is opened and drafted from what the database says now. 2. Data keys come first, in
the key database. 3. In one transaction, under the customers' locks, everything the draft relied
on is looked at again (generation, consents, holds, aliases, record versions) and the rows are
written with tags, index entries, receipt and ledger entry, while the intake copy goes. If
anything moved, the chunk is drafted anew. 4. Replaced versions leave their keys to be ended
(:mod:`custody.acts.endings`). 5. With the last chunk the batch's intake key is deleted.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.basis import read_basis
from custody.acts.batches import facts_of, require_batch, total
from custody.acts.collecting import uncollected
from custody.acts.context import Actor, Custody
from custody.acts.draft import Draft
from custody.acts.drafting import draft_chunk
from custody.acts.endings import finish_endings
from custody.acts.gates import (
    STORE,
    record_result,
    recording_failure,
    require_passed,
    stored_counts,
)
from custody.acts.intake_area import RefusedRow, hold_rows, read_intake
from custody.acts.rechecking import require_still_true
from custody.acts.recording import record
from custody.acts.redoing import again_if_changed
from custody.acts.sharing import share_chunks
from custody.acts.subjects import ChangedMeanwhileError, lift_suppressions, write_learnt
from custody.acts.writing import Written, write_records
from custody.counts import add_counts, count_codes
from custody.database import batches as tables
from custody.database import customers, periods
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.gates import judge, stage_suite
from custody.identifiers import BATCH, show_id
from custody.keys.wrapping import INTAKE
from custody.seal import DataKey
from custody.steps import reached


def store_chunk(custody: Custody, actor: Actor, batch_id: UUID, chunk: int) -> ChunkReceipt:
    """Move a chunk from intake to the records; one that is stored already is left as it is.

    Raises:
        UsageError: The batch or the chunk is unknown, or its ingest is not closed.
        QualityGateError: What was written is not what was accepted; nothing of it is stored.
        ChangedMeanwhileError: Others kept changing what the chunk relies on.
    """
    batch = require_batch(custody, batch_id)
    if batch.state not in ("ingested", "stored"):  # ``stopped`` waits for :func:`pass_gate`
        raise UsageError("the batch is not ready to be stored; its state is", batch.state)
    with uncollected(), recording_failure(custody, actor):
        first = iter((True,))
        return again_if_changed(
            lambda: _store_once(custody, actor, batch, chunk, trusting=next(first, False))
        )


def store_chunks(custody: Custody, actor: Actor, batch: Batch, numbers: Sequence[int]) -> int:
    """Store those of a batch's chunks that nobody else stores; return how many.

    All of them are stored when it returns.
    """
    return share_chunks(
        custody,
        batch,
        "store",
        numbers,
        lambda number: store_chunk(custody, actor, batch.id, number),
    )


def finish_store(custody: Custody, actor: Actor, batch_id: UUID) -> None:
    """Close the store of a batch whose chunks are all stored, and delete its intake key.

    Keys of versions that were replaced, by this batch or in a store that was killed, end here too.
    """
    with transaction(custody.data) as connection:
        batch = tables.lock_batch(connection, batch_id)
        receipts = tables.list_chunks(connection, batch_id)
        waiting = [receipt.chunk for receipt in receipts if receipt.state != "stored"]
        if batch.state == "ingested" and not waiting:
            tables.set_batch_state(connection, batch_id, "stored")
            facts = facts_of(batch, total(batch_id, receipts))
            record(connection, custody, actor, "batch:store:completed", facts)
            suite = stage_suite(custody.policy, STORE, batch.dataset)
            result = judge(suite, stored_counts(suite, receipts))
            record_result(connection, custody, actor, {"batch": show_id(BATCH, batch_id)}, result)
        if not waiting:
            # Under the batch's lock: a retry of its quarantine may be about to seal a new chunk.
            custody.keyring.batches.drop(batch_id, INTAKE)
            reached("store:intake-key-deleted")
    reached("store:batch-closed")
    finish_endings(custody, actor)


def _store_once(
    custody: Custody, actor: Actor, batch: Batch, chunk: int, *, trusting: bool
) -> ChunkReceipt:
    """Store a chunk, or fail if what it relies on changes.

    Args:
        trusting: Whether to rely on what ingest said of consents, if they are the same still.
    """
    with transaction(custody.data) as connection:
        receipt = tables.find_chunk(connection, batch.id, chunk)
        if receipt is None:
            raise UsageError("no such chunk", str(chunk))
        if receipt.state == "stored":
            return receipt
        rows = read_intake(custody, connection, batch.id, chunk)
        judged = read_basis(custody, receipt.basis) if trusting else None
        draft = draft_chunk(custody, connection, batch, rows, judged)
    reached("store:drafted")
    keys = custody.keyring.data_keys(draft.keys_wanted(), custody.now())
    reached("store:keys-written")
    _open_periods(custody, draft)
    reached("store:periods-opened")
    with transaction(custody.data) as connection:
        stored = _write(custody, connection, actor, batch, chunk, draft, keys)
    reached("store:chunk-stored")
    return stored


def _open_periods(custody: Custody, draft: Draft) -> None:
    with transaction(custody.data) as connection:
        for period in sorted({planned.period for planned in draft.planned}):
            periods.open_period(connection, period)


def _write(  # noqa: PLR0913 - one unit of work and all it needs
    custody: Custody,
    connection: Connection,
    actor: Actor,
    batch: Batch,
    chunk: int,
    draft: Draft,
    keys: Mapping[tuple[UUID, str], DataKey],
) -> ChunkReceipt:
    if draft.refused:  # the key they are sealed under is not to end meanwhile
        tables.share_batch(connection, batch.id)
    require_still_true(connection, draft)
    receipt = tables.find_chunk(connection, batch.id, chunk, lock=True)
    if receipt is None or receipt.state == "stored":
        raise ChangedMeanwhileError
    customers.add_customers(connection, draft.new_customers, custody.now())
    write_learnt(custody, connection, draft.directory, keys)
    lift_suppressions(connection, draft.directory)
    written = write_records(custody, connection, batch, draft, keys, receipt.accepted)
    _require_whole(custody, batch, written)
    refused = [RefusedRow(row=row, codes=codes) for row, codes in draft.refused]
    hold_rows(custody, connection, batch.id, chunk, "store", refused)
    tables.drop_intake(connection, batch.id, chunk)
    stored = _stored(receipt, draft, written)
    tables.save_chunk(connection, stored)
    facts = facts_of(batch, stored)
    record(connection, custody, actor, "chunk:store:completed", facts, written.parts)
    return stored


def _require_whole(custody: Custody, batch: Batch, written: Written) -> None:
    """Check that what was written is what was to be.

    Raises:
        GateFailedError: It is not; with the transaction all of it goes again.
    """
    suite = stage_suite(custody.policy, STORE, batch.dataset)
    names = [check.name for check in suite.checks]
    result = judge(suite, dict(zip(names, written.counts, strict=True)))
    require_passed(result, {"batch": show_id(BATCH, batch.id)})


def _stored(receipt: ChunkReceipt, draft: Draft, written: Written) -> ChunkReceipt:
    """Return the chunk's receipt once stored; rows that store quarantines count as refused."""
    return ChunkReceipt(
        batch_id=receipt.batch_id,
        chunk=receipt.chunk,
        state="stored",
        read=receipt.read - draft.unchanged,
        accepted=len(draft.planned),
        refused=receipt.refused + len(draft.refused),
        unchanged=receipt.unchanged + draft.unchanged,
        stored=len(draft.planned),
        replaced=sum(planned.replaces is not None for planned in draft.planned),
        reasons=add_counts(receipt.reasons, count_codes(codes for _, codes in draft.refused)),
        warnings=add_counts(receipt.warnings, draft.warnings()),
        dropped=receipt.dropped,
        quality={**receipt.quality, STORE: written.counts},
        basis=receipt.basis,
    )
