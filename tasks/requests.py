"""The steps of use and transfer, as Prefect performs them.

Nothing waits inside a run: a request is a row, its run ends as awaiting approval, and the accepted
vote starts the run that grants or delivers. The events that start runs come from the rows too.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from prefect import State
from prefect.states import Completed

from custody.acts import request_views, requests
from custody.acts.transfer import decide_transfer, deliver
from custody.acts.use import decide_use, grant_use
from custody.counts import count_codes
from custody.decision import Decision, Verdict
from custody.errors import UsageError
from custody.identifiers import GRANT, REQUEST, read_id, show_id
from tasks.artifacts import publish
from tasks.border import step
from tasks.context import actor, custody
from tasks.parameters import TransferDraft, UseDraft

if TYPE_CHECKING:
    from collections.abc import Callable

DRAFT: Final = "draft"
_SIGN: Final = (
    "A draft: whoever asks for it signs it. · 草稿:须由申请人签名。`custody {kind} sign {request}`"
)
_APPROVE: Final = "Waits for two approvals. · 待两人批准。`custody approve {request}`"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestReceipt:
    """Where a request stands at the end of a run."""

    request_id: str
    state: str
    reasons: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    result: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestWork:
    """A request to be decided; ``settled`` is the state of a run that has nothing to decide."""

    request_id: str
    settled: State[RequestReceipt] | None = None


@step
def take_request(kind: str, request_id: str, draft: UseDraft | TransferDraft | None) -> RequestWork:
    """Take up a request that was filed, or keep what the run form says as an unsigned draft.

    Raises:
        UsageError: The form names no request and drafts none, or does both.
    """
    if bool(request_id) is (draft is not None):
        raise UsageError("either name a request that was filed, or fill in a draft", kind)
    if draft is not None:
        ask = draft.ask(custody().now(), custody().zone)
        request_id = show_id(REQUEST, requests.file_request(custody(), actor(), ask, None))
    _, state = request_views.request_state(custody(), read_id(REQUEST, request_id))
    if state != DRAFT:
        return RequestWork(request_id=request_id)
    note = _SIGN.format(kind=kind, request=request_id)
    publish(kind, request_id, {}, {}, note=note)
    receipt = RequestReceipt(request_id=request_id, state=DRAFT)
    return RequestWork(
        request_id=request_id, settled=Completed(name="Draft", message=request_id, data=receipt)
    )


@step
def decide(kind: str, request_id: str) -> RequestReceipt:
    """Let the rules speak, all of them, and leave every reason in the UI."""
    decide_kind: Callable[..., Decision] = {"use": decide_use, "transfer": decide_transfer}[kind]
    decision = decide_kind(custody(), actor(), read_id(REQUEST, request_id))
    reasons = (*decision.reasons, *decision.notes)
    waits = decision.verdict is Verdict.NEEDS_APPROVAL
    note = _APPROVE.format(request=request_id) if waits else ""
    counts = {"votes": decision.votes, "needed": decision.needed}
    codes = count_codes([reason.code] for reason in reasons)
    publish(kind, request_id, counts, {**codes, **decision.left_out}, note=note)
    return RequestReceipt(
        request_id=request_id,
        state=decision.verdict.value,
        reasons=[str(reason) for reason in reasons],
        left_out=dict(decision.left_out),
    )


@step
def grant(decided: RequestReceipt) -> RequestReceipt:
    """Grant what was permitted; what is refused or waits stays as it is."""
    if decided.state != Verdict.PERMITTED.value:
        return decided
    granted = grant_use(custody(), actor(), read_id(REQUEST, decided.request_id))
    return replace(decided, state="granted", result=show_id(GRANT, granted.id))


@step
def deliver_package(decided: RequestReceipt) -> RequestReceipt:
    """Deliver what two people approved; what is refused or waits stays as it is."""
    if decided.state != Verdict.PERMITTED.value:
        return decided
    delivery = deliver(custody(), actor(), read_id(REQUEST, decided.request_id))
    publish("transfer", decided.request_id, {"rows": delivery.rows}, delivery.left_out)
    return replace(
        decided,
        state="delivered",
        left_out=dict(delivery.left_out),
        rows=delivery.rows,
        result=delivery.package_sha256,
    )
