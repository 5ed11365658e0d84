"""What people and tasks see of requests, as custody reads them from its own tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.request_state import (
    DRAFT,
    read_ask,
    read_reasons,
    recompute,
    require_request,
)
from custody.approval import Request
from custody.database import requests, staff
from custody.database.engine import transaction
from custody.database.requests import RequestRow, VoteRow
from custody.decision import approvals_needed
from custody.errors import Reason, UsageError
from custody.identifiers import REQUEST, STAFF, show_id
from custody.people import Person


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """An event that is yet to be emitted: ``custody.request.filed`` or ``….approved``."""

    request_id: UUID
    kind: str
    state: str

    @property
    def event(self) -> str:
        """The event's name."""
        return f"custody.request.{self.state}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestView:
    """All that an approver has to see before signing.

    Attributes:
        request: What the digest covers: fields with their masking, rows, customers, purpose, legal
            basis, recipient, country, key fingerprint, window, policy version.
        digest: What a vote signs.
        state: Where the request stands.
        requester: Who asks; None for a purge that the schedule planned.
        reasons: What the rules said when it was decided.
        votes: Who voted how on this revision.
    """

    request: Request
    digest: str
    state: str
    requester: Person | None
    reasons: tuple[Reason, ...]
    votes: tuple[tuple[str, str], ...]
    needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestLine:
    """A request in a list; a draft has no requester."""

    id: UUID
    kind: str
    state: str
    revision: int
    requester: UUID | None
    filed_at: datetime


def show_request(custody: Custody, request_id: UUID) -> RequestView:
    """Return what an approver must see, recomputed from the tables.

    Raises:
        UsageError: There is no such request.
        RefusedError: It is a draft, or no longer what was filed.
    """
    with transaction(custody.data) as connection:
        row = require_request(requests.find_request(connection, request_id))
        request = recompute(connection, custody, row)
        return _view(connection, custody, row, request)


def show_draft(custody: Custody, request_id: UUID) -> Mapping[str, object]:
    """Return what a draft asks for, which is what its signer will have asked for.

    Raises:
        UsageError: There is no such draft.
    """
    with transaction(custody.data) as connection:
        row = require_request(requests.find_request(connection, request_id))
    if row.state != DRAFT:
        raise UsageError("not a draft", show_id(REQUEST, request_id))
    return read_ask(row).to_plain()


def request_state(custody: Custody, request_id: UUID) -> tuple[str, str]:
    """Return a request's kind and state.

    Raises:
        UsageError: There is no such request.
    """
    with transaction(custody.data) as connection:
        row = require_request(requests.find_request(connection, request_id))
    return row.kind, row.state


def list_requests(custody: Custody, state: str | None = None) -> list[RequestLine]:
    """Return the requests in a state, or all, oldest first."""
    with transaction(custody.data) as connection:
        rows = requests.list_requests(connection, state)
    return [
        RequestLine(
            id=row.id,
            kind=row.kind,
            state=row.state,
            revision=row.revision,
            requester=row.requester,
            filed_at=row.filed_at,
        )
        for row in rows
    ]


def unannounced(custody: Custody) -> list[Announcement]:
    """Return the events that nobody has emitted yet; the request rows are their outbox."""
    with transaction(custody.data) as connection:
        found = requests.unannounced(connection)
    return [Announcement(request_id=i, kind=kind, state=state) for i, kind, state in found]


def mark_announced(custody: Custody, announcement: Announcement) -> bool:
    """Note that the event was emitted; False if the request has moved on meanwhile."""
    with transaction(custody.data) as connection:
        return requests.mark_announced(
            connection, announcement.request_id, announcement.state, custody.now()
        )


def _view(
    connection: Connection, custody: Custody, row: RequestRow, request: Request
) -> RequestView:
    asking = None if row.requester is None else staff.find_person(connection, row.requester)
    votes = requests.votes_on(connection, row.id, row.revision)
    return RequestView(
        request=request,
        digest=str(request.digest),
        state=row.state,
        requester=asking,
        reasons=read_reasons(row),
        votes=tuple(map(_shown_vote, votes)),
        needed=approvals_needed(custody.policy, request),
    )


def _shown_vote(vote: VoteRow) -> tuple[str, str]:
    return show_id(STAFF, vote.staff_id), vote.decision
