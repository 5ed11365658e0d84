"""The steps of ingest and store, as Prefect performs them."""

from dataclasses import dataclass

from custody.acts import batches, gates, search, store, taking
from custody.acts.context import Custody
from custody.database.batches import Batch, ChunkReceipt
from custody.identifiers import BATCH, read_id, show_id
from tasks.artifacts import publish
from tasks.border import step
from tasks.context import actor, custody
from tasks.helpers import do_span, helped

CHUNKS_A_SPAN = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchWork:
    """A batch and the spans of chunks, first and last, in which it is done."""

    batch_id: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReceipt:
    """What became of a batch, in counts of its source's rows."""

    batch_id: str
    state: str
    read: int
    accepted: int
    refused: int
    unchanged: int
    stored: int
    replaced: int
    reasons: dict[str, int]


@step
def open_batch(source: str, batch_id: str) -> BatchWork:
    """Open the batch of the source's present content, or take up the one that is named."""
    if batch_id:
        batch = batches.require_batch(custody(), read_id(BATCH, batch_id))
    else:
        batch = batches.open_batch(custody(), actor(), source)
    return _work(batch)


@step
def ingest_span(batch_id: str, first: int, last: int) -> int:
    """Check, minimise and seal chunks of a span, one transaction each; return how many here.

    Other processes may do the others; all are done when it returns.
    """
    return _together("ingest", custody(), batch_id, first, last)


@step
def close_batch(batch_id: str) -> BatchReceipt:
    """Compare record keys across the batch, close its ingest, and leave its counts in the UI.

    The run of a batch that is stopped at its gate fails, so that somebody sees it.
    """
    identifier = read_id(BATCH, batch_id)
    receipt = batches.close_batch(custody(), actor(), identifier)
    published = _published("ingest", batch_id, receipt)
    gates.pass_gate(custody(), actor(), identifier)
    return published


@step
def examine_source(source: str) -> BatchReceipt:
    """Check every chunk of a source and write nothing."""
    batch, receipt = taking.examine_source(custody(), source)
    return _published("dry-run", show_id(BATCH, batch.id), receipt)


@step
def claim_store(batch_id: str) -> BatchWork:
    """Return the spans of a batch that its gate lets pass; search indexes are made fit for it."""
    batch = batches.require_batch(custody(), read_id(BATCH, batch_id))
    gates.pass_gate(custody(), actor(), batch.id)
    search.prepare_indexes(custody(), actor(), batch)
    return _work(batch)


@step
def store_span(batch_id: str, first: int, last: int) -> int:
    """Move chunks of a span from intake to the records; return how many here.

    Other processes may do the others; all are done when it returns.
    """
    return _together("store", custody(), batch_id, first, last)


@step
def finish_store(batch_id: str) -> BatchReceipt:
    """Close the batch's store, end replaced versions' keys, and leave its counts in the UI."""
    identifier = read_id(BATCH, batch_id)
    store.finish_store(custody(), actor(), identifier)
    receipt = batches.total(identifier, batches.receipts_of(custody(), identifier))
    return _published("store", batch_id, receipt)


@step
def fit_search() -> int:
    """Write search indexes anew that are incomplete, too fine or too coarse; return how many."""
    return search.fit_indexes(custody(), actor())


def _together(stage: str, opened: Custody, batch_id: str, first: int, last: int) -> int:
    who = actor()
    with helped(stage, custody(), who, batch_id, first, last):
        return do_span(stage, opened, who, batch_id, first, last)


def _work(batch: Batch) -> BatchWork:
    spans = tuple(
        (first, min(first + CHUNKS_A_SPAN, batch.chunks) - 1)
        for first in range(0, batch.chunks, CHUNKS_A_SPAN)
    )
    return BatchWork(batch_id=show_id(BATCH, batch.id), spans=spans)


def _published(stage: str, batch_id: str, receipt: ChunkReceipt) -> BatchReceipt:
    counts = {
        "read": receipt.read,
        "accepted": receipt.accepted,
        "refused": receipt.refused,
        "unchanged": receipt.unchanged,
        "stored": receipt.stored,
        "replaced": receipt.replaced,
    }
    publish(stage, batch_id, counts, receipt.reasons)
    return BatchReceipt(
        batch_id=batch_id, state=receipt.state, reasons=dict(receipt.reasons), **counts
    )
