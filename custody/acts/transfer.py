"""Transfer: decided by rules, approved by two people, delivered once.

What two people approved was frozen at filing. At delivery it is looked at again under the
customers' locks, so that a consent withdrawn a moment before is honoured (threats T14)::

    delivered = approved - withdrawn - erased - corrected - fallen due        each counted

The order of effects: the package is staged, encrypted, in a hidden folder; then one transaction
notes delivery, manifest and ledger entry; then one rename publishes it. A crash before the commit
leaves nothing but a staging folder that the next attempt overwrites; a crash after it leaves the
rename, which the next attempt makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from custody.acts.gates import record_result, recording_failure
from custody.acts.packing import Approved, cells_of, check_sent, columns_of
from custody.acts.proof import refusal
from custody.acts.recording import record
from custody.acts.request_state import DELIVERED, recompute, require_request
from custody.acts.sifting import sift
from custody.acts.vote import recheck_votes
from custody.approval import TRANSFER, Request, show_instant
from custody.canonical import canonical
from custody.database import grants, requests
from custody.database.customers import lock_customers
from custody.database.engine import transaction
from custody.database.grants import Delivery
from custody.database.requests import RequestRow, VoteRow
from custody.decision import APPROVALS_NEEDED, Decision, split_reasons
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import INSTALLATION, REQUEST, STAFF, show_id
from custody.packages.envelope import Sealed
from custody.packages.outbox import (
    Place,
    publish,
    sign_manifest,
    stage_manifest,
    stage_package,
)
from custody.packages.sheet import write_sheet
from custody.policy.model import Field
from custody.steps import reached


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReceipt:
    """What was delivered, where it lies, and what was left out since the approval, by code."""

    request_id: UUID
    rows: int
    left_out: Mapping[str, int]
    package_sha256: str
    folder: Path


def decide_transfer(custody: Custody, actor: Actor, request_id: UUID) -> Decision:
    """Decide on a filed transfer; see :func:`custody.acts.deciding.decide`."""
    return decide(custody, actor, request_id, TRANSFER)


def deliver(custody: Custody, actor: Actor, request_id: UUID) -> DeliveryReceipt:
    """Deliver an approved transfer; delivering again returns the same receipt.

    1. Customers, people and request are locked, in this order. 2. The request still is what was
    filed; the rules of today permit it; each vote still counts. 3. What was withdrawn, erased,
    corrected or fell due since is left out. 4. The package is staged; its plaintext is revealed
    chunk by chunk, each behind its ledger entry, and never touches a disk. 5. Delivery, manifest
    and ledger entry are committed. 6. The package is published.

    Raises:
        AwaitingApprovalError: It waits for votes.
        QualityGateError: The package does not hold what was approved less what is accounted for.
        RefusedError: It was refused or rejected, or something speaks against it by now.
    """
    with recording_failure(custody, actor), transaction(custody.data) as connection:
        revision = _lock_customers(connection, request_id)
        row, people = lock_request_with_people(connection, request_id)
        _require_transfer(row, revision)
        request = recompute(connection, custody, row)
        delivery = grants.find_delivery(connection, request_id)
        if delivery is None:
            require_approved(row, count_approvals(connection, row), APPROVALS_NEEDED)
            reasons, _ = split_reasons(present_reasons(custody, people, request))
            votes, against = recheck_votes(connection, custody, request, people)
            approved = _look_again(connection, custody, request, votes, (*reasons, *against))
            delivery = _stage(connection, custody, actor, approved)
    reached("transfer:committed")
    folder = publish(_place(custody, request), delivery.package_sha256)
    reached("transfer:published")
    return DeliveryReceipt(
        request_id=request_id,
        rows=delivery.rows,
        left_out=delivery.left_out,
        package_sha256=delivery.package_sha256,
        folder=folder,
    )


def _lock_customers(connection: Connection, request_id: UUID) -> int:
    """Lock everybody whose records the request covers, and return the revision that was."""
    row = require_request(requests.find_request(connection, request_id))
    lock_customers(connection, requests.customers_of(connection, row.id, row.revision))
    return row.revision


def _require_transfer(row: RequestRow, revision: int) -> None:
    if row.kind != TRANSFER:
        raise UsageError("not a request for transfer")
    if row.revision != revision:  # edited while the customers were locked: others may be in it now
        raise refusal(show_id(REQUEST, row.id), "digest_mismatch")


def _look_again(
    connection: Connection,
    custody: Custody,
    request: Request,
    votes: Sequence[VoteRow],
    reasons: Sequence[Reason],
) -> Approved:
    """Return what may be delivered; refuse with every reason if nothing may."""
    present = requests.present_rows(connection, request.id, request.revision)
    rows, left_out = sift(connection, custody, request, present)
    told = [*reasons, *([] if rows else [Reason(code="nothing_to_do")])]
    if told:
        raise RefusedError(request.shown, tuple(dict.fromkeys(told)))
    return Approved(request=request, rows=rows, left_out=left_out, votes=votes)


def _stage(connection: Connection, custody: Custody, actor: Actor, approved: Approved) -> Delivery:
    request = approved.request
    place = _place(custody, request)
    recipient = custody.policy.recipient(request.recipient)
    columns = columns_of(custody, request)
    sent: list[UUID] = []
    cells = cells_of(custody, actor, approved, columns, sent)
    pieces = write_sheet(request.form, [column.name for column in columns], cells)
    sealed = stage_package(place, recipient.key, pieces)
    reached("transfer:package-staged")
    checked = check_sent(custody, approved, sent)
    manifest = canonical(_manifest(custody, approved, columns, place, sealed))
    signature = sign_manifest(custody.keyring.signing_key(), manifest)
    stage_manifest(place, manifest, signature)
    reached("transfer:manifest-staged")
    delivery = Delivery(
        request_id=request.id,
        delivered_at=custody.now(),
        rows=len(approved.rows),
        left_out=approved.left_out,
        package_sha256=sealed.sha256,
        manifest=manifest.decode(),
        signature=signature,
    )
    record_result(connection, custody, actor, {"request": request.shown}, checked)
    _note(connection, custody, actor, approved, delivery)
    return delivery


def _note(
    connection: Connection,
    custody: Custody,
    actor: Actor,
    approved: Approved,
    delivery: Delivery,
) -> None:
    request = approved.request
    grants.add_delivery(connection, delivery)
    requests.move(connection, request.id, DELIVERED)
    facts = {
        "request": request.shown,
        "digest": str(request.digest),
        "recipient": request.recipient,
        "rows": delivery.rows,
        "left_out": dict(delivery.left_out),
        "package": delivery.package_sha256,
        "approvers": [show_id(STAFF, vote.staff_id) for vote in approved.votes],
    }
    record(connection, custody, actor, "transfer:package:delivered", facts)


def _place(custody: Custody, request: Request) -> Place:
    name = f"{request.shown}-r{request.revision}"
    return Place(outbox=custody.outbox, name=name, file=f"{request.dataset}.{request.form}.age")


def _manifest(
    custody: Custody,
    approved: Approved,
    columns: Sequence[Field],
    place: Place,
    sealed: Sealed,
) -> dict[str, object]:
    """Return what the recipient can check; no hash of anything but ciphertext and the request."""
    request = approved.request
    return {
        "v": 1,
        "typ": "manifest",
        "installation": show_id(INSTALLATION, custody.installation_id),
        "signed_by": custody.keyring.verify_key_bytes().hex(),
        "request": request.shown,
        "revision": request.revision,
        "digest": str(request.digest),
        "purpose": request.purpose,
        "basis": request.basis,
        "dataset": request.dataset,
        "columns": [{"name": c.name, "shown": request.fields[c.name]} for c in columns],
        "rows": len(approved.rows),
        "approved": request.rows,
        "left_out": dict(approved.left_out),
        "package": {"file": place.file, "bytes": sealed.size, "sha256": sealed.sha256},
        "recipient": {
            "name": request.recipient,
            "country": request.country,
            "key": request.key,
        },
        "approvals": [
            {"staff": show_id(STAFF, v.staff_id), "kid": v.kid, "at": show_instant(v.at)}
            for v in approved.votes
        ],
        "made_at": show_instant(custody.now()),
    }
