"""Taking a chunk in, whatever it holds: records go to intake, consents are recorded at once."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from custody.acts.batches import count_chunks, new_batch_value, total
from custody.acts.collecting import uncollected
from custody.acts.consents import examine_consents, ingest_consents
from custody.acts.context import Actor, Custody
from custody.acts.ingest import dry_receipt, ingest_chunk
from custody.acts.opening import open_batch_reader, open_reader
from custody.acts.sharing import share_chunks
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
    with uncollected():
        return take(custody, actor, batch, chunk, within=within)


def take_chunks(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    numbers: Sequence[int],
    location: str | None = None,
) -> int:
    """Take in those of a batch's chunks that nobody else takes in; return how many.

    All of them are taken in when it returns.

    Raises:
        UsageError: The source cannot be read.
        RefusedError: It says something else than when the batch was opened.
    """
    with open_batch_reader(custody, batch, location) as reader:

        def take(number: int) -> None:
            for chunk in reader.chunks(number, number):
                take_chunk(custody, actor, batch, chunk)

        return share_chunks(custody, batch, "ingest", numbers, take)


def examine_source(
    custody: Custody, source_name: str, location: str | None = None
) -> tuple[Batch, ChunkReceipt]:
    """Return what taking a source in would do, in counts, and write nothing.

    Raises:
        UsageError: The source is unknown or cannot be read.
        QualityGateError: It has a header and no rows.
    """
    with open_reader(custody, source_name, location) as reader:
        batch = new_batch_value(custody, source_name, count_chunks(reader, source_name))
        look = examine_consents if batch.dataset == CONSENTS else dry_receipt
        receipts = [look(custody, batch, chunk) for chunk in reader.chunks()]
    return batch, total(batch.id, receipts)
