"""Stage 4, transfer (传): rules and two people decide; then a package only its recipient opens."""

from prefect import State

from tasks.parameters import MaybeRequestId, TransferDraft
from tasks.requests import RequestReceipt, decide, deliver_package, take_request
from tasks.stage import stage


@stage("transfer", about=("request_id",))
def transfer(
    request_id: MaybeRequestId = "", draft: TransferDraft | None = None
) -> RequestReceipt | State[RequestReceipt]:
    """Decide on a transfer and deliver it once approved · 审定传输申请,批准后交付.

    A run ends while people still have to vote; the second approval starts the delivering run.

    Args:
        request_id: A request that was filed; empty to draft one. · 已提交的申请;起草则留空。
        draft: What is asked for, where nothing was filed. · 未提交申请时,在此填写申请内容。
    """
    request = take_request("transfer", request_id, draft)
    if request.settled is not None:
        return request.settled
    return deliver_package(decide("transfer", request.request_id))
