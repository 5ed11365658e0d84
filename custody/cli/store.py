"""``custody store``: store a batch that waits in intake."""

from typing import Annotated

import typer

from custody.cli.batches import batch_document, store_batch
from custody.cli.output import show
from custody.cli.session import opened_with_prefect


def store(batch: Annotated[str, typer.Argument(help="The batch, batch_….")]) -> None:
    """Store an ingested batch.

    Every field is classified, sealed by level under its customer's own key, and indexed.
    """
    from custody.acts.batches import require_batch
    from custody.identifiers import BATCH, read_id

    with opened_with_prefect() as custody:
        store_batch(custody, require_batch(custody, read_id(BATCH, batch)))
        document = batch_document(custody, batch)
    show(document, "store_done")
