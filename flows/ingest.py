"""Stage 1, ingest (收): check, find the lawful basis, minimise, seal into intake or refuse."""

from tasks.ingest import BatchReceipt, close_batch, examine_source, ingest_span, open_batch
from tasks.parameters import MaybeBatchId, SourceName
from tasks.stage import stage


@stage("ingest", about=("source", "batch_id"))
def ingest(source: SourceName, batch_id: MaybeBatchId = "", dry_run: bool = False) -> BatchReceipt:
    """Take in a registered source · 收集一个已登记的来源.

    Every row is checked for quality and lawful basis; what is refused is held with all its reasons.
    The same content twice changes nothing.

    Args:
        source: A source of sources.yaml. · sources.yaml 中登记的来源名称。
        batch_id: A batch that is open already; empty for a new one. · 已登记的批次;新批次留空。
        dry_run: Check only, write nothing. · 只检查,不写入。
    """
    if dry_run:
        return examine_source(source)
    batch = open_batch(source, batch_id)
    for first, last in batch.spans:
        ingest_span(batch.batch_id, first, last)
    return close_batch(batch.batch_id)
