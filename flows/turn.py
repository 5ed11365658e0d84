"""Turning keys (密钥轮转): erasures become final, also in the backups of both databases."""

from tasks.keys import KeysReceipt, turn_keys
from tasks.stage import stage


@stage("turn", about=())
def turn(everything: bool = False) -> KeysReceipt:
    """Wrap surviving keys anew and destroy the old wrapping keys · 轮转密钥.

    Every run of destroy ends with it; this is for turning without a purge, or everything.

    Args:
        everything: Turn every bucket, not only those with deleted keys.
            · 轮转全部分组,而不仅是含已删除密钥的分组。
    """
    return turn_keys(everything)
