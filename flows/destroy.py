"""Stage 5, destroy (销): what is due and not held is erased, verified and certified."""

from prefect import State

from tasks.destroy import (
    DestructionReceipt,
    certify_destruction,
    claim_plan,
    erase_chunk,
    expire_quarantine,
    take_plan,
    verify_absence,
)
from tasks.ingest import fit_search
from tasks.keys import turn_keys
from tasks.parameters import MaybePlanId
from tasks.stage import stage


@stage("destroy", about=("plan_id",))
def destroy(plan_id: MaybePlanId = "") -> DestructionReceipt | State[None]:
    """Erase what a plan lists, or what is due today · 销毁计划所列或今日到期的数据.

    What is held meanwhile stays. A purge of many customers waits for two people. In the end the
    keys turn, so that no backup of the databases opens what lay under a deleted key.

    Args:
        plan_id: A plan that was written; empty to plan what is due today.
            · 已写好的销毁计划;留空则按今日到期情况制定。
    """
    expire_quarantine()
    plan = claim_plan(take_plan(plan_id))
    if plan.settled is not None:
        turn_keys()
        return plan.settled
    for chunk in plan.chunks:
        erase_chunk(plan.plan_id, chunk)
    receipt = certify_destruction(verify_absence(plan.plan_id))
    turn_keys()
    fit_search()
    return receipt
