"""Deciding on a filed request: the rules of its kind, every reason, and the state that follows."""

from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.request_state import (
    APPROVED,
    AWAITING,
    FILED,
    REFUSED,
    REJECTED,
    not_open,
    read_reasons,
    recompute,
    require_request,
    write_reasons,
)
from custody.approval import APPROVE, TRANSFER, Request
from custody.database import requests, staff
from custody.database.engine import transaction
from custody.database.requests import RequestRow
from custody.decision import (
    Decision,
    Verdict,
    approvals_needed,
    split_reasons,
    transfer_reasons,
    use_reasons,
)
from custody.errors import Reason, UsageError
from custody.identifiers import REQUEST, show_id
from custody.people import Person

_VERDICTS = {
    REFUSED: Verdict.REFUSED,
    AWAITING: Verdict.NEEDS_APPROVAL,
    APPROVED: Verdict.PERMITTED,
}


def decide(custody: Custody, actor: Actor, request_id: UUID, kind: str) -> Decision:
    """Decide on a filed request; on one decided before, return what was decided.

    1. The requester is locked against leaving, then the request. 2. It still is what was filed.
    3. All rules speak. 4. The state follows: refused, awaiting two votes, or approved.

    Raises:
        UsageError: There is no such request, or it is of another kind.
        RefusedError: It is a draft, or no longer what was filed.
    """
    with transaction(custody.data) as connection:
        row, people = lock_request_with_people(connection, request_id)
        if row.kind != kind:
            raise UsageError(f"not a request for {kind}")
        request = recompute(connection, custody, row)
        if row.state != FILED:
            return _decided(connection, custody, row, request)
        decision, state = _decide(custody, people, request)
        told = (*decision.reasons, *decision.notes)
        requests.decide(connection, row.id, state, write_reasons(told), custody.now())
        facts: dict[str, object] = {
            "request": request.shown,
            "revision": request.revision,
            "digest": str(request.digest),
            "verdict": decision.verdict.value,
            "reasons": [str(reason) for reason in told],
        }
        record(connection, custody, actor, f"request:{kind}:decided", facts)
    return decision


def lock_request_with_people(
    connection: Connection, request_id: UUID
) -> tuple[RequestRow, dict[UUID, Person]]:
    """Lock requester and voters against leaving, then the request itself (design §7).

    Raises:
        UsageError: There is no such request.
    """
    seen = require_request(requests.find_request(connection, request_id))
    voters = [vote.staff_id for vote in requests.votes_on(connection, seen.id, seen.revision)]
    asking = [] if seen.requester is None else [seen.requester]
    people = staff.share_people(connection, [*asking, *voters])
    return require_request(requests.lock_request(connection, request_id)), people


def present_reasons(
    custody: Custody, people: dict[UUID, Person], request: Request
) -> tuple[Reason, ...]:
    """Return everything the rules of today say about a request, blocking or not."""
    requester = None if request.requester is None else people.get(request.requester)
    if requester is None:
        return (Reason(code="signature_invalid", about="requester"),)
    if request.kind == TRANSFER:
        policy, today = custody.policy, custody.today()
        return tuple(transfer_reasons(policy, requester, request, custody.now(), today))
    return tuple(use_reasons(custody.policy, requester, request, custody.now()))


def require_approved(row: RequestRow, votes: int, needed: int) -> None:
    """Check that a request may be carried out.

    Raises:
        AwaitingApprovalError: It waits for votes.
        RefusedError: It was refused, rejected, or is a draft; with the reasons.
    """
    if row.state in {REFUSED, AWAITING}:
        _stored(row, votes, needed).require()
    if row.state != APPROVED:
        raise not_open(row)


def count_approvals(connection: Connection, row: RequestRow) -> int:
    """Return how many approvals the request's revision has."""
    votes = requests.votes_on(connection, row.id, row.revision)
    return sum(vote.decision == APPROVE for vote in votes)


def _decide(custody: Custody, people: dict[UUID, Person], request: Request) -> tuple[Decision, str]:
    blocking, notes = split_reasons(present_reasons(custody, people, request))
    needed = 0 if blocking else approvals_needed(custody.policy, request)
    state = REFUSED if blocking else AWAITING if needed else APPROVED
    decision = Decision(
        subject=request.shown,
        verdict=_VERDICTS[state],
        reasons=blocking,
        notes=notes,
        left_out=request.left_out,
        needed=needed,
    )
    return decision, state


def _decided(
    connection: Connection, custody: Custody, row: RequestRow, request: Request
) -> Decision:
    votes = count_approvals(connection, row)
    return _stored(row, votes, approvals_needed(custody.policy, request), request)


def _stored(row: RequestRow, votes: int, needed: int, request: Request | None = None) -> Decision:
    blocking, notes = split_reasons(read_reasons(row))
    if row.state == REJECTED:
        blocking = (Reason(code="request_not_open", about=REJECTED),)
    verdict = Verdict.REFUSED if row.state == REJECTED else _VERDICTS.get(row.state)
    return Decision(
        subject=show_id(REQUEST, row.id),
        verdict=verdict or Verdict.PERMITTED,
        reasons=blocking,
        notes=notes,
        left_out=request.left_out if request else {},
        votes=votes,
        needed=needed,
    )
