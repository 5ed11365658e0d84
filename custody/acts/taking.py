"""Taking a chunk in, whatever it holds: records go to intake, consents are recorded at once."""

from collections.abc import Callable

from sqlalchemy import Connection

from custody.acts.consents import examine_consents, ingest_consents
from custody.acts.context import Actor, Custody
from custody.acts.ingest import dry_receipt, ingest_chunk
from custody.database.batches import Batch, ChunkReceipt
from custody.policy.model import CONSENTS
from custody.rows import Chunk


def take_chunk(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    chunk: Chunk,
    *,
    within: Callable[[Connection], None] | None = None,
) -> ChunkReceipt:
    """Check a chunk of the batch and write it; one that was written already is left as it is."""
    take = ingest_consents if batch.dataset == CONSENTS else ingest_chunk
    return take(custody, actor, batch, chunk, within=within)


def examine(custody: Custody, batch: Batch, chunk: Chunk) -> ChunkReceipt:
    """Return what taking the chunk in would do, and write nothing."""
    look = examine_consents if batch.dataset == CONSENTS else dry_receipt
    return look(custody, batch, chunk)
