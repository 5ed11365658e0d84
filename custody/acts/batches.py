"""Opening, closing and reverting a batch: one reading of one source."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.gates import close_gate
from custody.acts.opening import content_tag_of, open_reader
from custody.acts.policy import remember_policy
from custody.acts.recording import record
from custody.acts.repeats import settle_repeats
from custody.counts import add_counts
from custody.database import batches as tables
from custody.database import quarantine as quarantine_tables
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.errors import QualityGateError, Reason, RefusedError, UsageError
from custody.identifiers import BATCH, show_id, time_ordered_id
from custody.intake import (
    location_context,
)
from custody.keys.wrapping import INTAKE, QUARANTINE
from custody.policy.model import CONSENTS
from custody.seal import seal
from custody.sources import Reader
from custody.steps import reached

NO_PURPOSE = ""


def open_batch(
    custody: Custody, actor: Actor, source_name: str, location: str | None = None
) -> Batch:
    """Open the batch of a source's present content, or return the one it has already.

    The content is known by a keyed hash, so the same file twice is one batch. The location is
    sealed: file names and connection strings carry names.

    Raises:
        UsageError: The source is unknown or cannot be read.
        QualityGateError: It has a header and no rows.
    """
    with open_reader(custody, source_name, location) as reader:
        chunks = count_chunks(reader, source_name)
        content_tag = content_tag_of(custody, reader)
        layout = {"chunk_rows": custody.chunk_rows, "reader": reader.layout}
    with transaction(custody.data) as connection:
        known = tables.find_batch_by_content(connection, source_name, content_tag)
    if known is not None:
        return known
    batch = _new_batch(custody, actor, source_name, chunks, location)
    batch = replace(batch, content_tag=content_tag, layout=layout)
    reached("batch:key-written")
    with transaction(custody.data) as connection:
        remember_policy(connection, custody)
        tables.add_batch(connection, batch)
        kept = tables.find_batch_by_content(connection, source_name, content_tag)
        if kept is not None and kept.id == batch.id:
            facts = {"batch": show_id(BATCH, batch.id), "source": source_name}
            record(connection, custody, actor, "batch:ingest:opened", facts)
    reached("batch:opened")
    return kept or batch


def count_chunks(reader: Reader, source_name: str) -> int:
    """Return how many chunks a source has.

    Raises:
        QualityGateError: None; an empty source is a broken export more often than good news.
    """
    chunks = len(reader.spans())
    if chunks == 0:
        raise _empty(source_name)
    return chunks


def new_batch_value(custody: Custody, source_name: str, chunks: int) -> Batch:
    """Return a batch that is written nowhere, for a dry run."""
    source = custody.policy.source(source_name)
    return Batch(
        id=time_ordered_id(custody.now()),
        source=source_name,
        dataset=source.dataset,
        purpose=source.purpose or NO_PURPOSE,
        namespace=source.namespace,
        content_tag=b"",
        location=None,
        policy_digest=custody.policy.digest,
        state="open",
        chunks=chunks,
        opened_at=custody.now(),
        opened_by="",
    )


def single_batch_value(custody: Custody, namespace: str) -> Batch:
    """Return the batch value of a consent that comes alone: it is written nowhere."""
    return Batch(
        id=time_ordered_id(custody.now()),
        source="",
        dataset=CONSENTS,
        purpose=NO_PURPOSE,
        namespace=namespace,
        content_tag=b"",
        location=None,
        policy_digest=custody.policy.digest,
        state="open",
        chunks=1,
        opened_at=custody.now(),
        opened_by="",
    )


def require_batch(custody: Custody, batch_id: UUID) -> Batch:
    """Return the batch.

    Raises:
        UsageError: There is none with this identifier.
    """
    with transaction(custody.data) as connection:
        batch = tables.find_batch(connection, batch_id)
    if batch is None:
        raise UsageError("no such batch", show_id(BATCH, batch_id))
    return batch


def close_batch(custody: Custody, actor: Actor, batch_id: UUID) -> ChunkReceipt:
    """Compare record keys across the batch's chunks, and close its ingest.

    Rows that repeat a record key with the same content are ``unchanged`` but for the first; rows
    that contradict each other are all refused, for nothing says which of them is right. A batch of
    which more fails a check than is let pass is stopped at its gate and waits.

    Raises:
        UsageError: Chunks are missing.
        QualityGateError: All of its rows are blank.
    """
    with transaction(custody.data) as connection:
        batch = tables.lock_batch(connection, batch_id)
        receipts = tables.list_chunks(connection, batch_id)
        if batch.state != "open":
            return total(batch_id, receipts)
        if len(receipts) < batch.chunks:
            raise UsageError("the batch is not read to its end", show_id(BATCH, batch_id))
        settle_repeats(custody, connection, batch)
        tables.drop_batch_rows(connection, batch_id)
        receipts = tables.list_chunks(connection, batch_id)
        receipt = total(batch_id, receipts)
        if not receipt.read + receipt.unchanged:
            raise _empty(batch.source)
        passed = close_gate(connection, custody, actor, batch, receipts)
        done = "stored" if batch.dataset == CONSENTS else "ingested" if passed else "stopped"
        tables.set_batch_state(connection, batch_id, done)
        record(connection, custody, actor, "batch:ingest:completed", facts_of(batch, receipt))
    reached("batch:ingest-closed")
    return receipt


def revert_batch(custody: Custody, actor: Actor, batch_id: UUID) -> ChunkReceipt:
    """Undo a batch of which nothing was stored yet: intake, quarantine and keys are destroyed.

    Raises:
        RefusedError: Rows of it are stored; those are destroyed by a plan.
    """
    require_batch(custody, batch_id)
    with transaction(custody.data) as connection:
        batch = tables.lock_batch(connection, batch_id)
        receipts = tables.list_chunks(connection, batch_id)
        stored = any(receipt.state == "stored" for receipt in receipts)
        if stored or batch.dataset == CONSENTS:
            raise RefusedError(show_id(BATCH, batch_id), (Reason(code="batch_stored"),))
        receipt = total(batch_id, receipts)
        if batch.state != "reverted":
            tables.drop_intake(connection, batch_id)
            tables.drop_batch_rows(connection, batch_id)
            quarantine_tables.drop_quarantine(connection, batch_id)
            tables.forget_locations(connection, [batch_id])
            tables.set_batch_state(connection, batch_id, "reverted")
            record(connection, custody, actor, "batch:ingest:reverted", facts_of(batch, receipt))
    custody.keyring.batches.drop(batch_id, INTAKE)
    custody.keyring.batches.drop(batch_id, QUARANTINE)
    return receipt


def receipts_of(custody: Custody, batch_id: UUID) -> list[ChunkReceipt]:
    """Return the receipts of a batch's chunks in order."""
    with transaction(custody.data) as connection:
        return tables.list_chunks(connection, batch_id)


def total(batch_id: UUID, receipts: Iterable[ChunkReceipt]) -> ChunkReceipt:
    """Return the sum of a batch's receipts, as the receipt of chunk -1."""
    receipts = list(receipts)
    counts = ("read", "accepted", "refused", "unchanged", "stored", "replaced")
    states = {receipt.state for receipt in receipts}
    return ChunkReceipt(
        batch_id=batch_id,
        chunk=-1,
        state="stored" if states == {"stored"} else "ingested",
        reasons=add_counts(*(receipt.reasons for receipt in receipts)),
        warnings=add_counts(*(receipt.warnings for receipt in receipts)),
        dropped=add_counts(*(receipt.dropped for receipt in receipts)),
        **{name: sum(getattr(receipt, name) for receipt in receipts) for name in counts},
    )


def facts_of(batch: Batch, receipt: ChunkReceipt) -> dict[str, object]:
    """Return what the ledger says of a batch or chunk: identifiers, counts and codes."""
    return {
        "batch": show_id(BATCH, batch.id),
        "source": batch.source,
        "dataset": batch.dataset,
        "read": receipt.read,
        "accepted": receipt.accepted,
        "refused": receipt.refused,
        "unchanged": receipt.unchanged,
        "stored": receipt.stored,
        "replaced": receipt.replaced,
        "reasons": dict(receipt.reasons),
        "dropped": dict(receipt.dropped),
        "quality": str(receipt.quality.get("digest", "")),
    }


def _empty(source_name: str) -> QualityGateError:
    return QualityGateError(source_name, (Reason(code="source_empty", about=source_name),))


def _new_batch(
    custody: Custody,
    actor: Actor,
    source_name: str,
    chunks: int,
    location: str | None,
) -> Batch:
    batch = new_batch_value(custody, source_name, chunks)
    key = custody.keyring.batches.key(batch.id, QUARANTINE, custody.today())
    context = location_context(custody.installation_id, batch.id)
    sealed = None if location is None else seal(key, location.encode(), context, custody.suite)
    who = f"{actor.how}:{actor.name}"
    return replace(batch, location=sealed, opened_by=who)
