"""The steps of destroy, as Prefect performs them."""

from dataclasses import dataclass

from prefect import State
from prefect.states import Completed

from custody.acts import certify as certifying
from custody.acts import destroy as destroying
from custody.acts import quarantine
from custody.acts.planning import Scope, plan_destruction, require_plan
from custody.counts import add_counts
from custody.errors import AwaitingApprovalError
from custody.identifiers import CERTIFICATE, PLAN, read_id, show_id
from tasks.artifacts import publish
from tasks.border import step
from tasks.context import actor, custody


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanWork:
    """A plan and its chunks; ``settled`` is the state of a run that has nothing to erase."""

    plan_id: str
    chunks: tuple[int, ...] = ()
    settled: State[None] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DestructionReceipt:
    """What a plan destroyed, by outcome, and the certificate that says so."""

    plan_id: str
    certificate: str
    outcomes: dict[str, int]


@step
def expire_quarantine() -> int:
    """Destroy refused rows that were held for as long as the policy says; return how many."""
    return quarantine.expire_quarantine(custody(), actor())


@step
def take_plan(plan_id: str) -> str:
    """Return the plan that is named, or write one of what is due today."""
    if plan_id:
        return show_id(PLAN, require_plan(custody(), read_id(PLAN, plan_id)).id)
    plan = plan_destruction(custody(), actor(), Scope(as_of=custody().today()))
    return show_id(PLAN, plan.id)


@step
def claim_plan(plan_id: str) -> PlanWork:
    """Begin or resume a plan, unless it waits for approval or lists nothing."""
    try:
        chunks = destroying.claim_plan(custody(), actor(), read_id(PLAN, plan_id))
    except AwaitingApprovalError as error:
        note = "Waits for two approvals: custody approve. · 待两人批准。"
        publish("destroy", plan_id, {"votes": error.votes, "needed": error.needed}, {}, note=note)
        return PlanWork(
            plan_id=plan_id, settled=Completed(name="AwaitingApproval", message=str(error))
        )
    if not chunks:
        publish("destroy", plan_id, {"destroyed": 0}, {}, note="Nothing is due. · 无到期数据。")
        return PlanWork(plan_id=plan_id, settled=Completed(name="NothingDue", message=plan_id))
    return PlanWork(plan_id=plan_id, chunks=tuple(chunks))


@step
def erase_chunk(plan_id: str, chunk: int) -> dict[str, int]:
    """Erase a chunk of customers, in the order of the design, and return the outcomes."""
    receipt = destroying.erase_chunk(custody(), actor(), read_id(PLAN, plan_id), chunk)
    return dict(receipt.outcomes)


@step
def verify_absence(plan_id: str) -> certifying.AbsenceReceipt:
    """Read every place back; what is still there fails the run, and nothing is certified."""
    return certifying.verify_absence(custody(), actor(), read_id(PLAN, plan_id))


@step
def certify_destruction(absence: certifying.AbsenceReceipt) -> DestructionReceipt:
    """Issue the signed certificate, part one, and leave the counts in the UI."""
    certificate = certifying.certify_destruction(custody(), actor(), absence)
    plan_id = show_id(PLAN, absence.plan_id)
    shown = show_id(CERTIFICATE, certificate.id)
    counts = add_counts(absence.outcomes)
    publish("destroy", plan_id, counts, {}, note=f"Certificate · 证明: `{shown}`")
    return DestructionReceipt(plan_id=plan_id, certificate=shown, outcomes=counts)
