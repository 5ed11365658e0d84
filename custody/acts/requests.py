"""Filing: asked for in names, signed, and frozen row by row.

A request without a signature is a **draft**: nobody asked for it until somebody signs it, who
then is its requester (threats T31). An edit is the next revision: votes on the one before count
no longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.policy import remember_policy
from custody.acts.proof import refusal, signed_by, verify_session
from custody.acts.recording import record
from custody.acts.request_state import (
    ACTS,
    AWAITING,
    DRAFT,
    EDITABLE,
    FILED,
    not_open,
    read_ask,
    require_request,
)
from custody.acts.sifting import sift
from custody.approval import (
    DESTROY,
    USE,
    Ask,
    Digest,
    FrozenRow,
    Request,
    ask_digest,
    key_fingerprint,
    rows_root,
)
from custody.canonical import canonical
from custody.database import requests
from custody.database.engine import transaction
from custody.database.requests import RequestRow
from custody.identifiers import PLAN, REQUEST, show_id, time_ordered_id
from custody.people import Person


@dataclass(frozen=True, kw_only=True, slots=True)
class _Filing:
    """One revision of a request about to be filed."""

    ask: Ask
    request_id: UUID
    revision: int
    digest: Digest
    token: str


def file_request(custody: Custody, actor: Actor, ask: Ask, token: str | None) -> UUID:
    """File what somebody asks for and return the request's id.

    ``token`` is the session's signature on the ask (:func:`custody.approval.ask_digest`); without
    one the request stays a draft.

    Raises:
        UnknownNameError: The policy has no such dataset or field.
        RefusedError: The signature does not count; with every reason.
    """
    _require_names(custody, ask)
    request_id = time_ordered_id(custody.now())
    with transaction(custody.data) as connection:
        remember_policy(connection, custody)
        if token is None:
            _put_draft(connection, custody, actor, ask, request_id)
        else:
            digest = ask_digest(custody.installation_id, ask, by=custody.hash_name)
            filing = _Filing(ask=ask, request_id=request_id, revision=1, digest=digest, token=token)
            person = _verify(connection, custody, filing)
            _file(connection, custody, actor, filing, person)
    return request_id


def sign_draft(custody: Custody, actor: Actor, request_id: UUID, token: str) -> None:
    """Turn a draft into a request of whoever signs its ask and its id; its rows freeze now.

    Raises:
        RefusedError: It is no draft any more, or the signature does not count.
    """
    with transaction(custody.data) as connection:
        ask = read_ask(require_request(requests.find_request(connection, request_id)))
        digest = ask_digest(custody.installation_id, ask, request_id, by=custody.hash_name)
        filing = _Filing(ask=ask, request_id=request_id, revision=1, digest=digest, token=token)
        person = _verify(connection, custody, filing)
        row = require_request(requests.lock_request(connection, request_id))
        if row.state != DRAFT:
            raise not_open(row)
        remember_policy(connection, custody)
        _file(connection, custody, actor, filing, person)


def edit_request(custody: Custody, actor: Actor, request_id: UUID, ask: Ask, token: str) -> None:
    """Put another ask in place of a request's: the next revision, for which nobody voted yet.

    Raises:
        RefusedError: It is another person's, it was rejected or carried out, or the signature
            does not count.
    """
    _require_names(custody, ask)
    digest = ask_digest(custody.installation_id, ask, request_id, by=custody.hash_name)
    filing = _Filing(ask=ask, request_id=request_id, revision=0, digest=digest, token=token)
    with transaction(custody.data) as connection:
        person = _verify(connection, custody, filing)
        row = require_request(requests.lock_request(connection, request_id))
        if row.state not in EDITABLE or row.kind != ask.kind:
            raise not_open(row)
        if row.requester != person.id:
            raise refusal(show_id(REQUEST, request_id), "role_not_permitted", "requester")
        remember_policy(connection, custody)
        filing = _Filing(
            ask=ask,
            request_id=request_id,
            revision=row.revision + 1,
            digest=digest,
            token=token,
        )
        _file(connection, custody, actor, filing, person)


def file_destruction(
    connection: Connection,
    custody: Custody,
    plan_id: UUID,
    *,
    requester: UUID | None,
    left_out: Mapping[str, int],
) -> UUID:
    """File the request by which two people approve a plan above the cap; return its id.

    It runs in the planning act's transaction, which writes the ledger entry. What it covers are
    the plan's rows, so an approval is void when the plan is not what it was.
    """
    rows = list(requests.planned_rows(connection, plan_id))
    request = Request(
        installation=custody.installation_id,
        id=time_ordered_id(custody.now()),
        revision=1,
        kind=DESTROY,
        rows=len(rows),
        root=rows_root(rows, by=custody.hash_name),
        customers=len({row.customer_id for row in rows}),
        left_out=left_out,
        policy=custody.policy.digest,
        requester=requester,
        filed_at=custody.now().replace(microsecond=0),
        plan=show_id(PLAN, plan_id),
        by=custody.hash_name,
    )
    requests.put_request(connection, _row(request, AWAITING, "", ""))
    return request.id


def _verify(connection: Connection, custody: Custody, filing: _Filing) -> Person:
    act = ACTS[filing.ask.kind]
    return verify_session(connection, custody, filing.token, act=act, digest=filing.digest)


def _put_draft(
    connection: Connection, custody: Custody, actor: Actor, ask: Ask, request_id: UUID
) -> None:
    row = RequestRow(
        id=request_id,
        revision=1,
        kind=ask.kind,
        state=DRAFT,
        ask=canonical(ask.to_plain()).decode(),
        body="",
        digest=ask_digest(custody.installation_id, ask, request_id, by=custody.hash_name).value,
        requester=None,
        statement="",
        filed_at=custody.now(),
        policy_digest=custody.policy.digest,
    )
    requests.put_request(connection, row)
    facts = {"request": show_id(REQUEST, request_id), "kind": ask.kind}
    record(connection, custody, actor, "request:drafted", facts)


def _file(
    connection: Connection, custody: Custody, actor: Actor, filing: _Filing, person: Person
) -> None:
    """Freeze the rows, build the request over them, and write both."""
    rows, left_out = _select(connection, custody, filing.ask)
    request = _build(custody, filing, person, rows, left_out)
    text = canonical(filing.ask.to_plain()).decode()
    requests.put_request(connection, _row(request, FILED, text, filing.token))
    requests.freeze(connection, request.id, request.revision, rows)
    verb = "filed" if request.revision == 1 else "edited"
    facts: dict[str, object] = {
        "request": request.shown,
        "revision": request.revision,
        "kind": request.kind,
        "digest": str(request.digest),
        "rows": request.rows,
        "left_out": dict(left_out),
        "token": filing.token,
    }
    record(connection, custody, signed_by(person, actor), f"request:{verb}", facts)


def _build(
    custody: Custody,
    filing: _Filing,
    person: Person,
    rows: list[FrozenRow],
    left_out: Mapping[str, int],
) -> Request:
    ask = filing.ask
    recipient = custody.policy.recipients.get(ask.recipient)
    purpose = custody.policy.purposes.get(ask.purpose)
    return Request(
        installation=custody.installation_id,
        id=filing.request_id,
        revision=filing.revision,
        kind=ask.kind,
        dataset=ask.dataset,
        purpose=ask.purpose,
        fields=ask.fields,
        rows=len(rows),
        root=rows_root(rows, by=custody.hash_name),
        customers=len({row.customer_id for row in rows}),
        left_out=left_out,
        basis=purpose.legal_basis if purpose else "",
        recipient=ask.recipient,
        key=key_fingerprint(recipient.key) if recipient else "",
        country=recipient.country if recipient else "",
        until=ask.until,
        form=ask.form,
        policy=custody.policy.digest,
        requester=person.id,
        filed_at=custody.now().replace(microsecond=0),
        ask=str(filing.digest),
        by=custody.hash_name,
    )


def _row(request: Request, state: str, ask: str, token: str) -> RequestRow:
    return RequestRow(
        id=request.id,
        revision=request.revision,
        kind=request.kind,
        state=state,
        ask=ask,
        body=request.body.decode(),
        digest=request.digest.value,
        requester=request.requester,
        statement=token,
        filed_at=request.filed_at,
        policy_digest=request.policy,
    )


def _select(
    connection: Connection, custody: Custody, ask: Ask
) -> tuple[list[FrozenRow], dict[str, int]]:
    """Return the rows the ask comes to, and what is left out of it.

    Purposes bind: a use sees records of its own purpose. So does a transfer, unless its purpose
    rests on consent: then the customer's separate consent names the recipient, whatever the
    record was collected for.
    """
    purpose = custody.policy.purposes.get(ask.purpose)
    by_consent = purpose is not None and purpose.needs_consent and ask.kind != USE
    bound_to = None if by_consent else ask.purpose
    rows = requests.candidate_rows(connection, ask.dataset, bound_to, ask.customers)
    kept, left_out = sift(connection, custody, ask, rows)
    frozen = [
        FrozenRow(record_id=row.record_id, version=row.version, customer_id=row.customer_id)
        for row in kept
    ]
    return frozen, left_out


def _require_names(custody: Custody, ask: Ask) -> None:
    dataset = custody.policy.dataset(ask.dataset)
    for name in ask.fields:
        dataset.field(name)
