"""Stage 2, store (存): classify, seal under each customer's own key, index, write."""

from tasks.ingest import BatchReceipt, claim_store, finish_store, fit_search, store_span
from tasks.parameters import BatchId
from tasks.stage import stage


@stage("store", about=("batch_id",))
def store(batch_id: BatchId) -> BatchReceipt:
    """Store an ingested batch · 存储一个已收集的批次.

    Rows whose subject is unknown or contradictory are held with their reasons.

    Args:
        batch_id: The batch, as ingest reported it. · 收集阶段给出的批次编号。
    """
    batch = claim_store(batch_id)
    for first, last in batch.spans:
        store_span(batch.batch_id, first, last)
    receipt = finish_store(batch.batch_id)
    fit_search()
    return receipt
