"""Stage 2, store (存): classify, seal under each customer's own key, index, write."""

from prefect import flow

from tasks.history import HOOKS
from tasks.ingest import BatchReceipt, claim_store, finish_store, store_span
from tasks.naming import named_after
from tasks.parameters import BatchId


@flow(name="store", flow_run_name=named_after("batch_id"), persist_result=False, **HOOKS)
def store(batch_id: BatchId) -> BatchReceipt:
    """Store an ingested batch · 存储一个已收集的批次.

    Rows whose subject is unknown or contradictory are held with their reasons.
    """
    batch = claim_store(batch_id)
    for first, last in batch.spans:
        store_span(batch.batch_id, first, last)
    return finish_store(batch.batch_id)
