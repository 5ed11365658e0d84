"""The end of an expiry period (季度结束): its keys go, whatever the number of customers."""

from tasks.keys import KeysReceipt, end_period
from tasks.parameters import Period
from tasks.stage import stage


@stage("close-period", about=("period",))
def close_period(period: Period) -> KeysReceipt:
    """End an expiry period that is over · 结束已到期的季度.

    What is held moves on first; what is due and not held must have been destroyed by a plan.

    Args:
        period: The quarter, such as 2027Q4. · 季度,例如 2027Q4。
    """
    return end_period(period)
