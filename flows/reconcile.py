"""Reconciling (核对): lost runs, ends that nobody recorded, requests that nobody announced."""

from tasks.reconcile import (
    Reconciled,
    adopt_ends,
    announce_requests,
    end_lost_runs,
    run_again,
    tell_reconciled,
)
from tasks.stage import stage


@stage("reconcile", about=())
def reconcile() -> Reconciled:
    """Bring the ledger, Prefect and the work together · 核对台账、Prefect 与实际工作.

    Every ten minutes by its schedule. What was killed is called crashed and started again where
    that is safe; ends that the ledger does not know are recorded; requests are announced.
    """
    lost = end_lost_runs()
    again = run_again()
    adopted = adopt_ends(lost)
    return tell_reconciled(len(lost), adopted, again, announce_requests())
