"""Reading under a grant: signed each time, masked unless granted in clear.

What was withdrawn, erased or fell due since the request was filed does not show, and the ledger
knows of the reading before the reader sees anything (threats T25).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.proof import refusal, session_reasons, signed_by, verify_session
from custody.acts.request_state import recompute, require_request
from custody.acts.reveal import Revealed, reveal
from custody.acts.sifting import sift
from custody.acts.use import require_grant
from custody.approval import Request, read_digest
from custody.database import grants, requests
from custody.database.engine import transaction
from custody.database.grants import Grant
from custody.decision import approvals_needed
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import CUSTOMER, GRANT, RECORD, show_id
from custody.people import Person, highest_rank, person_reasons
from custody.showing import GENERAL_ONLY, show_value

READ: Final = "read"
MOST_ROWS: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRow:
    """One record as its reader may see it; fields without a value are empty."""

    record: str
    customer: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a read returned, and how many rows of the grant may not be seen any more, by code."""

    rows: tuple[ReadRow, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Permission:
    """A verified reader, the grant, and the request behind it."""

    token: str
    person: Person
    grant: Grant
    request: Request

    @property
    def shown(self) -> str:
        return show_id(GRANT, self.grant.id)


def read(
    custody: Custody,
    actor: Actor,
    token: str,
    grant_id: UUID,
    *,
    customer_ids: Sequence[UUID] | None = None,
    limit: int = 100,
) -> Reading:
    """Return what a grant lets its holder see.

    1. The session's signature covers grant, customers and limit
    (:func:`custody.approval.read_digest`). 2. The grant is the reader's, not revoked, not over,
    and permits what its request asked for.
    3. What may no longer be seen is left out. 4. Per chunk, session and grant are checked again
    in the transaction whose ledger entry precedes the plaintext.

    Raises:
        RefusedError: With every reason.
    """
    if not 0 < limit <= MOST_ROWS:
        raise UsageError(f"a reading returns 1 to {MOST_ROWS} rows")
    shown = show_id(GRANT, grant_id)
    digest = read_digest(custody.installation_id, shown, customer_ids, limit, by=custody.hash_name)
    with transaction(custody.data) as connection:
        person = verify_session(connection, custody, token, act=READ, digest=digest)
        permission = _permit(connection, custody, token, person, grant_id)
        ids, left_out = _choose(connection, custody, permission, customer_ids)
    actor = signed_by(person, actor)
    rows = [
        row
        for start in range(0, min(len(ids), limit), custody.chunk_rows)
        for row in _reveal(
            custody, actor, permission, ids[start : min(start + custody.chunk_rows, limit)]
        )
    ]
    return Reading(rows=tuple(rows), left_out=left_out)


def _permit(
    connection: Connection, custody: Custody, token: str, person: Person, grant_id: UUID
) -> _Permission:
    grant = require_grant(grants.find_grant(connection, grant_id))
    reasons = _reasons(custody, person, grant)
    if reasons:
        raise RefusedError(show_id(GRANT, grant_id), tuple(reasons))
    row = require_request(requests.find_request(connection, grant.request_id))
    request = recompute(connection, custody, row)
    _require_as_asked(grant, request)
    return _Permission(token=token, person=person, grant=grant, request=request)


def _require_as_asked(grant: Grant, request: Request) -> None:
    """Refuse a grant that permits anything else than its request, whose digest was approved.

    Raises:
        RefusedError: It was changed since (`digest_mismatch`).
    """
    granted = (grant.staff_id, grant.dataset, grant.purpose, dict(grant.fields), grant.until)
    asked = (request.requester, request.dataset, request.purpose, dict(request.fields))
    if granted != (*asked, request.until):
        raise refusal(show_id(GRANT, grant.id), "digest_mismatch")


def _choose(
    connection: Connection,
    custody: Custody,
    permission: _Permission,
    customer_ids: Sequence[UUID] | None,
) -> tuple[list[UUID], dict[str, int]]:
    request = permission.request
    present = requests.present_rows(connection, request.id, request.revision, customer_ids)
    kept, left_out = sift(connection, custody, request, present, corrected_too=True)
    return [row.record_id for row in kept], left_out


def _reveal(
    custody: Custody, actor: Actor, permission: _Permission, ids: Sequence[UUID]
) -> list[ReadRow]:
    def still_permitted(connection: Connection) -> None:
        reasons = session_reasons(connection, custody, permission.token)
        grant = require_grant(grants.find_grant(connection, permission.grant.id))
        reasons += _reasons(custody, permission.person, grant)
        if reasons:
            raise RefusedError(permission.shown, tuple(reasons))
        _require_as_asked(grant, permission.request)

    revealed = reveal(
        custody,
        actor,
        record_ids=ids,
        fields=frozenset(permission.grant.fields),
        event="grant:records:read",
        facts={"grant": permission.shown, "request": permission.request.shown},
        guard=still_permitted,
    )
    return [_show(custody, permission, one) for one in revealed]


def _reasons(custody: Custody, person: Person, grant: Grant) -> list[Reason]:
    reasons = person_reasons(custody.policy, person, READ)
    if grant.staff_id != person.id:
        reasons.append(Reason(code="role_not_permitted", about="another person's grant"))
    if grant.revoked_at is not None or grant.until <= custody.now():
        reasons.append(Reason(code="grant_expired"))
    return reasons


def _show(custody: Custody, permission: _Permission, revealed: Revealed) -> ReadRow:
    dataset = custody.policy.dataset(revealed.dataset)
    approved = approvals_needed(custody.policy, permission.request)
    reach = highest_rank(custody.policy, permission.person) if approved else GENERAL_ONLY
    values = {}
    for name, asked in permission.grant.fields.items():
        one = dataset.field(name)
        values[name] = show_value(
            one,
            revealed.values.get(name),
            asked=asked,
            sealed_at=revealed.levels.get(name, one.level),
            reach=reach,
        )
    return ReadRow(
        record=show_id(RECORD, revealed.record_id),
        customer=show_id(CUSTOMER, revealed.customer_id),
        values=values,
    )
