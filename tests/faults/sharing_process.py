"""What a spawned process of the sharing tests does."""

from uuid import UUID

from house import TESTER, Site

from custody.acts.batches import require_batch
from custody.acts.store import store_chunks
from custody.acts.taking import take_chunks


def work(site: Site, stage: str, batch_id: UUID) -> int:
    """Share a stage of a batch with whoever else does it, and return how many chunks it did."""
    with site.opened() as custody:
        batch = require_batch(custody, batch_id)
        do = take_chunks if stage == "ingest" else store_chunks
        return do(custody, TESTER, batch, range(batch.chunks))
