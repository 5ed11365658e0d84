"""Votes: two different people, neither of them the requester, sign the digest of the whole request.

The steps of the approval protocol (``threats.md``), all in one transaction:

 1. strict parse, at most 2 KiB              7. lock the request, recompute its digest
 2. load the key by (sub, kid), locked       8. person ≠ requester, and has not voted
 3. signature                                9. use up the statement, store the vote
 4. account active, role may approve this   10. ledger entry with the token
 5. ``iat - 60 s <= now <= exp``            11. at the threshold the request is approved
 6. one-time code: not part of this version

Steps 1 to 3 stop at the first failure, for nothing an unauthenticated statement says is worth
another look; 4 to 8 gather every reason. 11 precedes 10, because the ledger is locked last
(design §7). Failures of steps 1 to 5 are counted in a transaction of their own, and lock the
person out (5 in 15 minutes for 30 minutes; 10 a day until another officer unlocks). One rejection
ends the request.

At delivery 3, 4, 7 and 8 are gone through again for each vote: a leaver's vote counts no longer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.deciding import (
    count_approvals,
    lock_request_with_people,
    require_approved,
)
from custody.acts.proof import refusal, signed_by, use_up, verify_person
from custody.acts.recording import record
from custody.acts.request_state import (
    APPROVED,
    AWAITING,
    REJECTED,
    recompute,
    require_request,
)
from custody.approval import APPROVE, REJECT, Request, is_locked
from custody.database import requests, staff
from custody.database.engine import transaction
from custody.database.requests import RequestRow, VoteRow
from custody.decision import APPROVALS_NEEDED, clear_levels
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import REQUEST, read_id
from custody.people import Person, level_reasons, person_reasons
from custody.statements import (
    APPROVAL,
    Signer,
    Statement,
    make_token,
    parse_token,
    require_signature,
)

_COUNTED: Final = frozenset(
    {"statement_invalid", "signature_invalid", "statement_expired", "staff_inactive"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteReceipt:
    """A vote that counts.

    Attributes:
        state: The request's state now: ``awaiting``, ``approved`` or ``rejected``.
        votes: Approvals so far, of ``needed``.
    """

    request_id: UUID
    revision: int
    decision: str
    state: str
    votes: int
    needed: int = APPROVALS_NEEDED


def vote_token(
    approver: Signer, request: Request, decision: Literal["approve", "reject"], at: datetime
) -> str:
    """Return a person's signed vote on exactly this request, as it was shown."""
    own: dict[str, str | int] = {
        "rid": request.shown,
        "rev": request.revision,
        "dig": str(request.digest),
        "dec": decision,
    }
    return make_token(approver, APPROVAL, own, installation=request.installation, at=at)


def cast_vote(custody: Custody, actor: Actor, token: str) -> VoteReceipt:
    """Take a vote (steps 1 to 11 above).

    Raises:
        RefusedError: The vote does not count; with every reason.
    """
    statement = parse_token(token, APPROVAL, installation=custody.installation_id)
    try:
        with transaction(custody.data) as connection:
            return _cast(connection, custody, actor, statement, token)
    except RefusedError as refused:
        _count_failure(custody, actor, statement, refused)
        raise


def recheck_votes(
    connection: Connection,
    custody: Custody,
    request: Request,
    people: dict[UUID, Person],
) -> tuple[list[VoteRow], list[Reason]]:
    """Return the approvals that still count, and why others or too few do (3, 4, 7, 8 again).

    The request is locked and as :func:`recompute` gave it, the voters are locked as well.
    """
    good, reasons = [], []
    for vote in requests.votes_on(connection, request.id, request.revision):
        against = _recheck(connection, custody, request, vote, people)
        if not against and vote.decision == APPROVE:
            good.append(vote)
        reasons += against
    if len({vote.staff_id for vote in good}) < APPROVALS_NEEDED:
        reasons.append(Reason(code="approvals_missing"))
    return good, reasons


def require_approval(connection: Connection, custody: Custody, request_id: UUID) -> Request:
    """Return an approved request, locked, whose votes all still count; for destruction's plans.

    Raises:
        AwaitingApprovalError: It waits for votes.
        RefusedError: It was rejected, moved, or a vote counts no longer; with every reason.
    """
    row, people = lock_request_with_people(connection, request_id)
    require_approved(row, count_approvals(connection, row), APPROVALS_NEEDED)
    request = recompute(connection, custody, row)
    reasons = recheck_votes(connection, custody, request, people)[1]
    if reasons:
        raise RefusedError(request.shown, tuple(reasons))
    return request


def _cast(
    connection: Connection,
    custody: Custody,
    actor: Actor,
    statement: Statement,
    token: str,
) -> VoteReceipt:
    people = staff.lock_people(connection, [statement.sub])  # 2
    if is_locked(staff.vote_failures(connection, statement.sub), custody.now()):
        raise refusal("vote", "approver_locked")
    person, reasons = verify_person(connection, custody, statement, people=people)  # 2 to 5
    row = _locked_request(connection, statement)  # 7
    request = recompute(connection, custody, row)
    reasons += _role_reasons(custody, person, request)  # 4
    reasons += _request_reasons(connection, statement, row, request)  # 7, 8
    if not reasons:
        reasons += use_up(connection, custody, statement)  # 9
    if reasons:
        raise RefusedError(request.shown, tuple(dict.fromkeys(reasons)))
    receipt = _store(connection, custody, statement, request, token)  # 9, 11
    facts: dict[str, object] = {
        "request": request.shown,
        "revision": request.revision,
        "decision": receipt.decision,
        "state": receipt.state,
        "votes": receipt.votes,
        "token": token,
    }
    record(connection, custody, signed_by(person, actor), "request:vote:cast", facts)  # 10
    return receipt


def _locked_request(connection: Connection, statement: Statement) -> RequestRow:
    try:
        request_id = read_id(REQUEST, statement.own("rid"))
        return require_request(requests.lock_request(connection, request_id))
    except UsageError:
        raise refusal("vote", "statement_invalid", "rid") from None


def _role_reasons(custody: Custody, person: Person, request: Request) -> list[Reason]:
    """Step 4: the role may approve, up to the highest level that would be seen in clear."""
    return [
        *person_reasons(custody.policy, person, "approve"),
        *level_reasons(custody.policy, person, clear_levels(custody.policy, request)),
    ]


def _request_reasons(
    connection: Connection, statement: Statement, row: RequestRow, request: Request
) -> list[Reason]:
    """Steps 7 and 8."""
    reasons = []
    if row.state != AWAITING:
        reasons.append(Reason(code="request_not_open", about=row.state))
    signed = (statement.fields["rev"], statement.own("dig"))
    if signed != (request.revision, str(request.digest)):
        reasons.append(Reason(code="digest_mismatch", about=request.shown))
    if statement.own("dec") not in {APPROVE, REJECT}:
        reasons.append(Reason(code="statement_invalid", about="dec"))
    if statement.sub == request.requester:
        reasons.append(Reason(code="requester_is_approver"))
    votes = requests.votes_on(connection, row.id, row.revision)
    if any(vote.staff_id == statement.sub for vote in votes):
        reasons.append(Reason(code="already_voted"))
    return reasons


def _store(
    connection: Connection, custody: Custody, statement: Statement, request: Request, token: str
) -> VoteReceipt:
    """Step 9, and 11: two approvals approve, one rejection ends it."""
    decision = statement.own("dec")
    vote = VoteRow(
        staff_id=statement.sub,
        kid=statement.kid,
        decision=decision,
        token=token,
        at=custody.now(),
    )
    requests.add_vote(connection, request.id, request.revision, vote, statement.jti)
    cast = requests.votes_on(connection, request.id, request.revision)
    votes = sum(one.decision == APPROVE for one in cast)
    state = REJECTED if decision == REJECT else AWAITING
    if state == AWAITING and votes >= APPROVALS_NEEDED:
        state = APPROVED
    if state != AWAITING:
        requests.move(connection, request.id, state)
    return VoteReceipt(
        request_id=request.id,
        revision=request.revision,
        decision=decision,
        state=state,
        votes=votes,
    )


def _count_failure(
    custody: Custody, actor: Actor, statement: Statement, refused: RefusedError
) -> None:
    """Count a failure of steps 1 to 5 against the person in whose name it was tried."""
    counted = [reason.code for reason in refused.reasons if reason.code in _COUNTED]
    if not counted:
        return
    with transaction(custody.data) as connection:
        person = staff.find_person(connection, statement.sub)
        if person is None:
            return
        staff.add_vote_failure(connection, person.id, custody.now(), counted[0])
        told = [str(reason) for reason in refused.reasons]
        facts: dict[str, object] = {"staff": person.shown, "reasons": told}
        record(connection, custody, actor, "request:vote:failed", facts)


def _recheck(
    connection: Connection,
    custody: Custody,
    request: Request,
    vote: VoteRow,
    people: dict[UUID, Person],
) -> list[Reason]:
    try:
        statement = parse_token(vote.token, APPROVAL, installation=custody.installation_id)
        key = staff.find_key(connection, vote.staff_id, vote.kid)
        person = people.get(vote.staff_id)
        if key is None or person is None or key.revoked_at is not None:
            return [Reason(code="signature_invalid", about=vote.kid)]
        require_signature(statement, bytes(key.public_key))  # 3
    except RefusedError as refused:
        return list(refused.reasons)
    reasons = _role_reasons(custody, person, request)  # 4
    said = (statement.sub, statement.kid, statement.own("dec"), statement.own("dig"))
    if said != (vote.staff_id, vote.kid, vote.decision, str(request.digest)):  # 7
        reasons.append(Reason(code="digest_mismatch", about=vote.kid))
    if vote.staff_id == request.requester:  # 8
        reasons.append(Reason(code="requester_is_approver"))
    return reasons
