"""The scenes of the demo: each does one stage by its flow and returns its part of the document."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from custody.acts.batches import open_batch, receipts_of, total
from custody.acts.consents import withdraw_consent
from custody.acts.holds import add_hold
from custody.acts.overview import overview
from custody.acts.planning import Scope, plan_destruction
from custody.acts.quarantine import list_quarantine
from custody.acts.read import READ, read
from custody.acts.request_views import request_state, show_request
from custody.acts.requests import file_request
from custody.acts.session import act_token
from custody.acts.verify import verify_installation
from custody.acts.vote import cast_vote, vote_token
from custody.approval import TRANSFER, USE, Ask, ask_digest, read_digest
from custody.cli.demonstration.house import PARTNER, House
from custody.counts import add_counts
from custody.database.engine import transaction
from custody.database.grants import find_delivery
from custody.database.records import select_records
from custody.errors import CustodyError
from custody.identifiers import BATCH, GRANT, PLAN, REQUEST, read_id, show_id
from custody.policy.model import CONSENTS

WAIT_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.25
_WITHDRAWN: Final = 12
_READ_CUSTOMERS: Final = 5


class DemoStalledError(CustodyError):
    """A run that the demo waits for did not come to its end."""

    def __init__(self, subject: str, state: str) -> None:
        super().__init__(subject, state)
        self.subject, self.state = subject, state

    def __str__(self) -> str:
        """Return what was waited for and where it stands."""
        return f"{self.subject} is still {self.state} after {WAIT_SECONDS:.0f} s"


@dataclass(slots=True)
class Taken:
    """What was ingested and stored so far."""

    batches: dict[str, UUID] = field(default_factory=dict)


def take_in(house: House, taken: Taken, source: str, location: Path | None) -> None:
    """Ingest one source and store it, each by its flow; consents have nothing to store."""
    from flows.ingest import ingest
    from flows.store import store

    place = None if location is None else str(location)
    batch = open_batch(house.custody, house.actor, source, place)
    shown = show_id(BATCH, batch.id)
    ingest(source, shown)
    if batch.dataset != CONSENTS:
        store(shown)
    taken.batches[source] = batch.id


def ingest_part(house: House, taken: Taken) -> dict[str, Any]:
    """Return what came in and what was refused, consents left out of the totals."""
    sources = [_source_part(house, source, batch) for source, batch in taken.batches.items()]
    counted = [part for part in sources if part["dataset"] != CONSENTS]
    return {
        **{name: sum(part[name] for part in counted) for name in _COUNTS},
        "dropped_fields": add_counts(*(part.pop("dropped") for part in sources)),
        "reasons": add_counts(*(part["reasons"] for part in counted)),
        "sources": sources,
    }


_COUNTS: Final = ("read", "accepted", "refused", "unchanged")


def _source_part(house: House, source: str, batch: UUID) -> dict[str, Any]:
    receipt = total(batch, receipts_of(house.custody, batch))
    return {
        "source": source,
        "dataset": house.custody.policy.source(source).dataset,
        **{name: getattr(receipt, name) for name in _COUNTS},
        "reasons": dict(receipt.reasons),
        "dropped": dict(receipt.dropped),
    }


def store_part(house: House, taken: Taken) -> dict[str, Any]:
    """Return what was stored, and what is held at which level."""
    receipts = [
        total(batch, receipts_of(house.custody, batch))
        for source, batch in taken.batches.items()
        if house.custody.policy.source(source).dataset != CONSENTS
    ]
    held = overview(house.custody)
    return {
        "stored": sum(receipt.stored for receipt in receipts),
        "replaced": sum(receipt.replaced for receipt in receipts),
        "customers": held.customers,
        "levels": dict(held.levels),
        "level_raised": held.level_raised,
    }


def refused_rows(house: House, taken: Taken) -> dict[str, dict[int, frozenset[str]]]:
    """Return the codes of every refused row by source, as custody holds them."""
    return {
        source: {
            row.row_number: frozenset(row.codes) for row in list_quarantine(house.custody, batch)
        }
        for source, batch in taken.batches.items()
    }


def ask_for_use(house: House, purpose: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Ask for the use of a few customers' records, signed, and let the flow decide."""
    from flows.use import use

    customers = _some_customers(house)
    ask = Ask(
        kind=USE,
        dataset="customers",
        purpose=purpose,
        fields=fields,
        until=_in_a_week(house),
        customers=customers,
    )
    request_id = _file(house, ask)
    receipt = use(show_id(REQUEST, request_id))
    part = {
        "request": show_id(REQUEST, request_id),
        "decision": receipt.state,
        "reasons": [reason.partition("(")[0] for reason in receipt.reasons],
        "customers": len(customers),
        "fields": sorted(fields),
        "purpose": purpose,
    }
    if receipt.result:
        part["rows_read"] = _read(house, read_id(GRANT, receipt.result))
    return part


def file_transfer(house: House, purpose: str, fields: Mapping[str, str]) -> UUID:
    """Ask for a transfer to the partner, signed; the event starts the deployed flow."""
    from tasks.events import announce

    ask = Ask(
        kind=TRANSFER,
        dataset="customers",
        purpose=purpose,
        fields=fields,
        until=_in_a_week(house),
        recipient=PARTNER,
    )
    request_id = _file(house, ask)
    announce(house.custody)
    return request_id


def approve(house: House, request_id: UUID) -> None:
    """Let two people sign the request's digest; the second vote is announced."""
    from tasks.events import announce

    for member in house.approvers:
        request = show_request(house.custody, request_id).request
        signer = member.key.signer(member.staff_id)
        token = vote_token(signer, request, "approve", house.custody.now())
        cast_vote(house.custody, house.actor, token)
    announce(house.custody)


def wait_for(house: House, request_id: UUID, states: frozenset[str]) -> str:
    """Wait until the deployed flow has brought a request into one of the states.

    Raises:
        DemoStalledError: It did not.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        _, state = request_state(house.custody, request_id)
        if state in states:
            return state
        time.sleep(_POLL_SECONDS)
    raise DemoStalledError(show_id(REQUEST, request_id), state)


def transfer_part(house: House, request_id: UUID) -> dict[str, Any]:
    """Return how the transfer ended."""
    view = show_request(house.custody, request_id)
    with transaction(house.custody.data) as connection:
        delivered = find_delivery(connection, request_id)
    left_out = add_counts(view.request.left_out, delivered.left_out if delivered else {})
    return {
        "request": show_id(REQUEST, request_id),
        "state": view.state,
        "recipient": view.request.recipient,
        "rows": delivered.rows if delivered else 0,
        "left_out": left_out,
        "reasons": [reason.code for reason in view.reasons],
        "package_sha256": delivered.package_sha256 if delivered else "",
        "approvers": [who for who, decision in view.votes if decision == "approve"],
    }


def change_of_heart(house: House, purpose: str) -> int:
    """Withdraw a few consents and hold one customer, so that destruction has both to mind."""
    with transaction(house.custody.data) as connection:
        held = select_records(connection, "customers", purpose)
    customers = sorted({record.customer_id for record in held})
    withdrawing = customers[:_WITHDRAWN]
    for customer in withdrawing:
        withdraw_consent(house.custody, house.actor, customer, purpose)
    for customer in withdrawing[:1]:
        add_hold(house.custody, house.actor, customer, "demo: complaint pending")
    return len(withdrawing)


def purge(house: House, as_of: date) -> dict[str, Any]:
    """Plan what is due by a day, have two people approve it if it is large, and apply it."""
    from flows.destroy import destroy

    plan = plan_destruction(house.custody, house.actor, Scope(as_of=as_of))
    if plan.request_id is not None:
        approve(house, plan.request_id)
    shown = show_id(PLAN, plan.id)
    receipt = destroy(shown)
    destroyed = getattr(receipt, "outcomes", {}).get("destroyed", 0)
    return {
        "plan": shown,
        "as_of": as_of.isoformat(),
        "purged": destroyed,
        "kept": overview(house.custody).records,
        "reasons": add_counts(*plan.summary["due"].values()),
        "held": sum(add_counts(*plan.summary["held"].values()).values()),
        "certificate": getattr(receipt, "certificate", ""),
    }


def verify_part(house: House) -> dict[str, Any]:
    """Verify everything: the ledger, every key and seal, every run against Prefect."""
    from tasks.history import compare_runs

    verified = verify_installation(house.custody, deep=True)
    runs, differences = compare_runs(house.custody)
    return {
        "ok": not differences,
        "entries": verified.ledger.head.size,
        "head": verified.ledger.head.root.hex(),
        "checkpoints": verified.ledger.checkpoints,
        "keys": verified.keys,
        "records": verified.records,
        "runs": runs,
        "differences": differences,
    }


def runs_part(house: House) -> list[dict[str, Any]]:
    """Return every flow run as Prefect has it, oldest first."""
    from tasks.history import list_runs

    return list_runs(house.custody)


def _file(house: House, ask: Ask) -> UUID:
    member = house.members["business"]
    digest = ask_digest(house.custody.installation_id, ask, by=house.custody.hash_name)
    token = act_token(member.session, f"file_{ask.kind}", digest, house.custody.now())
    return file_request(house.custody, house.actor, ask, token)


def _read(house: House, grant_id: UUID) -> int:
    """Read under the grant, signed, and return how many records were shown."""
    member = house.members["business"]
    shown = show_id(GRANT, grant_id)
    installation, by = house.custody.installation_id, house.custody.hash_name
    digest = read_digest(installation, shown, None, _READ_CUSTOMERS, by=by)
    token = act_token(member.session, READ, digest, house.custody.now())
    reading = read(house.custody, house.actor, token, grant_id, limit=_READ_CUSTOMERS)
    return len(reading.rows)


def _some_customers(house: House) -> tuple[UUID, ...]:
    with transaction(house.custody.data) as connection:
        known = select_records(connection, "customers")
    return tuple(sorted({record.customer_id for record in known})[:_READ_CUSTOMERS])


def _in_a_week(house: House) -> datetime:
    return (house.custody.now() + timedelta(days=7)).replace(microsecond=0)
