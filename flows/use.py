"""Stage 3, use (用): rules decide who may read what, for which purpose, until when."""

from prefect import State

from tasks.parameters import MaybeRequestId, UseDraft
from tasks.requests import RequestReceipt, decide, grant, take_request
from tasks.stage import stage


@stage("use", about=("request_id",))
def use(
    request_id: MaybeRequestId = "", draft: UseDraft | None = None
) -> RequestReceipt | State[RequestReceipt]:
    """Decide on a use and grant it · 审定使用申请并授权.

    What is asked for here is a draft until its requester signs it.

    Args:
        request_id: A request that was filed; empty to draft one. · 已提交的申请;起草则留空。
        draft: What is asked for, where nothing was filed. · 未提交申请时,在此填写申请内容。
    """
    request = take_request("use", request_id, draft)
    if request.settled is not None:
        return request.settled
    return grant(decide("use", request.request_id))
