"""Stage 4, transfer (传): rules and two people decide; then a package only its recipient opens."""

from prefect import flow
from prefect.states import State

from tasks.history import HOOKS
from tasks.naming import named_after
from tasks.parameters import MaybeRequestId, TransferDraft
from tasks.requests import RequestReceipt, decide, deliver_package, take_request


@flow(name="transfer", flow_run_name=named_after("request_id"), persist_result=False, **HOOKS)
def transfer(
    request_id: MaybeRequestId = "", draft: TransferDraft | None = None
) -> RequestReceipt | State[RequestReceipt]:
    """Decide on a transfer and deliver it once approved · 审定传输申请,批准后交付.

    A run ends while people still have to vote; the second approval starts the delivering run.
    """
    request = take_request("transfer", request_id, draft)
    if request.settled is not None:
        return request.settled
    return deliver_package(decide("transfer", request.request_id))
