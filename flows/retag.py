"""Renewing identity tags (身份标签更新): once a year they are made anew under the next key."""

from tasks.keys import TagsReceipt, renew_tags
from tasks.stage import stage


@stage("retag", about=())
def retag(only_if_due: bool = False) -> TagsReceipt | None:
    """Make every identity tag anew and destroy the key of the old ones · 更新身份标签.

    Ingest, store and everything else go on meanwhile. It can be interrupted and run again.

    Args:
        only_if_due: Do nothing before the year is over; so the schedule asks.
            · 未满一年则不执行;定时任务以此方式运行。
    """
    return renew_tags(only_if_due)
