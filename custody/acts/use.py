"""Use: decided by rules, and granted for a while.

What a grant covers was frozen when its request was filed; :mod:`custody.acts.read` shows it.
"""

from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.deciding import (
    count_approvals,
    decide,
    lock_request_with_people,
    present_reasons,
    require_approved,
)
from custody.acts.recording import record
from custody.acts.request_state import GRANTED, recompute
from custody.acts.vote import recheck_votes
from custody.approval import USE, Request
from custody.database import grants, requests
from custody.database.engine import transaction
from custody.database.grants import Grant
from custody.database.requests import RequestRow
from custody.decision import Decision, approvals_needed, split_reasons
from custody.errors import RefusedError, UsageError
from custody.identifiers import GRANT, show_id, time_ordered_id
from custody.people import Person


def decide_use(custody: Custody, actor: Actor, request_id: UUID) -> Decision:
    """Decide on a filed use; see :func:`custody.acts.deciding.decide`."""
    return decide(custody, actor, request_id, USE)


def grant_use(custody: Custody, actor: Actor, request_id: UUID) -> Grant:
    """Grant an approved use; granting again returns the same grant.

    The rules of today, and each vote where votes were needed, are gone through once more.

    Raises:
        AwaitingApprovalError: It waits for votes.
        RefusedError: It was refused or rejected, or something speaks against it by now.
    """
    with transaction(custody.data) as connection:
        row, people = lock_request_with_people(connection, request_id)
        if row.kind != USE:
            raise UsageError("not a request for use")
        if row.state == GRANTED:
            return require_grant(grants.grant_of(connection, row.id))
        request = _require_grantable(connection, custody, row, people)
        grant = _new_grant(custody, request)
        grants.add_grant(connection, grant)
        requests.move(connection, request.id, GRANTED)
        facts = {"grant": show_id(GRANT, grant.id), "request": request.shown}
        record(connection, custody, actor, "grant:issued", facts)
    return grant


def list_grants(custody: Custody, staff_id: UUID | None = None) -> list[Grant]:
    """Return a person's grants, or everybody's."""
    with transaction(custody.data) as connection:
        return grants.list_grants(connection, staff_id)


def require_grant(grant: Grant | None) -> Grant:
    """Return the grant that was looked up.

    Raises:
        UsageError: There is none.
    """
    if grant is None:
        raise UsageError("no such grant")
    return grant


def _require_grantable(
    connection: Connection, custody: Custody, row: RequestRow, people: dict[UUID, Person]
) -> Request:
    request = recompute(connection, custody, row)
    needed = approvals_needed(custody.policy, request)
    require_approved(row, count_approvals(connection, row), needed)
    reasons, _ = split_reasons(present_reasons(custody, people, request))
    if needed:
        reasons += tuple(recheck_votes(connection, custody, request, people)[1])
    if reasons:
        raise RefusedError(request.shown, reasons)
    return request


def _new_grant(custody: Custody, request: Request) -> Grant:
    if request.requester is None or request.until is None:
        raise UsageError("a use has a requester and an end")
    return Grant(
        id=time_ordered_id(custody.now()),
        request_id=request.id,
        staff_id=request.requester,
        dataset=request.dataset,
        purpose=request.purpose,
        fields=request.fields,
        until=request.until,
        granted_at=custody.now(),
    )
