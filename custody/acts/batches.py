"""Opening, closing and reverting a batch: one reading of one source."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from custody.acts.context import Actor, Custody
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
from custody.policy.model import CONSENTS, Dataset
from custody.seal import open_at, seal
from custody.sources import Reader, open_source
from custody.sources.consents import consents_dataset
from custody.steps import reached

NO_PURPOSE = ""


def open_reader(custody: Custody, source_name: str, location: str | None) -> Reader:
    """Open a registered source, at ``location`` where the policy leaves it open.

    Raises:
        UnknownNameError: The policy has no such source.
        UsageError: It cannot be read, or lacks required columns.
    """
    return _open(custody, source_name, location, custody.chunk_rows, {})


def open_batch_reader(custody: Custody, batch: Batch, location: str | None = None) -> Reader:
    """Open what a batch reads, cut as it was when the batch was opened.

    Args:
        custody: The installation.
        batch: The batch.
        location: Where its source lies by now, None where it lay.

    Raises:
        UsageError: The source cannot be read.
        RefusedError: It says something else by now.
    """
    layout = batch.layout or {}
    rows, known = layout.get("chunk_rows", custody.chunk_rows), layout.get("reader", {})
    reader = _open(custody, batch.source, location or location_of(custody, batch), rows, known)
    try:
        if reader.layout.get("state") != known.get("state"):
            require_same_content(custody, batch, reader)
    except BaseException:
        reader.close()
        raise
    return reader


def require_same_content(custody: Custody, batch: Batch, reader: Reader) -> None:
    """Require that a source says what it said when the batch was opened.

    Raises:
        RefusedError: It says something else by now.
    """
    if content_tag_of(custody, reader) != bytes(batch.content_tag):
        reasons = (Reason(code="source_changed", about=batch.source),)
        raise RefusedError(show_id(BATCH, batch.id), reasons)


def _open(
    custody: Custody,
    source_name: str,
    location: str | None,
    chunk_rows: int,
    known: Mapping[str, Any],
) -> Reader:
    source = custody.policy.source(source_name)
    required: frozenset[str] = frozenset()
    if source.purpose is not None:
        required = custody.policy.scope(source.purpose, source.dataset).required
    return open_source(
        source,
        location=location,
        dataset=dataset_of(custody, source.dataset),
        chunk_rows=chunk_rows,
        environment=custody.environment,
        required=required,
        known=known,
    )


def dataset_of(custody: Custody, name: str) -> Dataset:
    """Return the policy's dataset, or the fixed one of consents."""
    return consents_dataset(custody.policy) if name == CONSENTS else custody.policy.dataset(name)


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


def location_of(custody: Custody, batch: Batch) -> str | None:
    """Return where the batch was read from, None where the policy says it."""
    if batch.location is None:
        return None
    key = custody.keyring.batches.open(batch.id, QUARANTINE)
    context = location_context(custody.installation_id, batch.id)
    place = f"location of {show_id(BATCH, batch.id)}"
    return open_at(place, key, batch.location, context).decode()


def close_batch(custody: Custody, actor: Actor, batch_id: UUID) -> ChunkReceipt:
    """Compare record keys across the batch's chunks, and close its ingest.

    Rows that repeat a record key with the same content are ``unchanged`` but for the first; rows
    that contradict each other are all refused, for nothing says which of them is right.

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
        receipt = total(batch_id, tables.list_chunks(connection, batch_id))
        if not receipt.read + receipt.unchanged:
            raise _empty(batch.source)
        done = "stored" if batch.dataset == CONSENTS else "ingested"
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


def content_tag_of(custody: Custody, reader: Reader) -> bytes:
    """Return the keyed hash of everything a source holds."""
    running = custody.keyring.tags.content_stream()
    reader.digest(running.update)
    return running.digest()


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
