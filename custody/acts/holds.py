"""Legal holds and the events that start retention clocks: both under the customer's lock."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.endings import finish_endings
from custody.acts.recording import record
from custody.database import customers, endings, periods, records
from custody.database import holds as hold_tables
from custody.database.engine import transaction
from custody.database.holds import Hold
from custody.detect import kinds_in
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import CUSTOMER, HOLD, RECORD, show_id, time_ordered_id
from custody.retention import ends_on
from custody.steps import reached


def add_hold(
    custody: Custody, actor: Actor, customer_id: UUID, reason: str, record_id: UUID | None = None
) -> Hold:
    """Keep a customer's records, or one of them, from destruction until the hold is lifted.

    Raises:
        UsageError: No reason is given, or an identifier of somebody's stands in it.
        RefusedError: The customer is unknown or erased, or has no such record (any more).
    """
    if not reason.strip():
        raise UsageError("a hold needs its reason")
    if kinds_in(reason):
        raise UsageError("a reason is kept in clear: name a case, not a person's number")
    hold = Hold(
        id=time_ordered_id(custody.now()),
        customer_id=customer_id,
        record_id=record_id,
        reason=reason,
        set_at=custody.now(),
        set_by=f"{actor.how}:{actor.name}",
    )
    with transaction(custody.data) as connection:
        _lock_active(connection, customer_id)
        states = periods.share_periods_of(connection, customer_id)
        if record_id is not None:
            _require_record(connection, customer_id, record_id)
        hold_tables.add_hold(connection, hold)
        moving = _held_in_closing(connection, hold, states)
        endings.end_keys_of_records(connection, moving, "rebased", custody.now())
        record(connection, custody, actor, "customer:hold:set", {"hold": show_id(HOLD, hold.id)})
    reached("hold:set")
    if moving:
        finish_endings(custody, actor, [customer_id])
    return hold


def _held_in_closing(connection: Connection, hold: Hold, states: Mapping[str, str]) -> list[UUID]:
    """Return the records that the hold keeps and that lie in periods about to end: they move on."""
    closing = {name for name, state in states.items() if state == "closing"}
    rows = records.records_of(connection, [hold.customer_id]) if closing else []
    return [row.id for row in rows if row.period in closing and hold.covers(row.id)]


def lift_hold(custody: Custody, actor: Actor, hold_id: UUID) -> None:
    """Lift a hold; what became due meanwhile is in the next plan.

    Raises:
        UsageError: There is no such hold in force.
    """
    with transaction(custody.data) as connection:
        customer_id = hold_tables.held_customer(connection, hold_id)
        if customer_id is None:
            raise UsageError("no such hold in force", show_id(HOLD, hold_id))
        customers.lock_customers(connection, [customer_id])
        hold_tables.lift_hold(connection, hold_id, f"{actor.how}:{actor.name}", custody.now())
        facts = {"hold": show_id(HOLD, hold_id)}
        record(connection, custody, actor, "customer:hold:lifted", facts)


def record_event(custody: Custody, actor: Actor, customer_id: UUID, event: str, on: date) -> int:
    """Start the retention clocks that wait for ``event`` and return how many records it concerns.

    The records are sealed again under keys of the period in which they now fall due.

    Their generation is raised, so that a store in flight, which does not know the event yet,
    redoes its rows.

    Raises:
        UsageError: No retention in the policy waits for such an event, or it lies ahead.
        RefusedError: The customer is unknown or erased.
    """
    if on > custody.today() and not custody.synthetic:
        raise UsageError("an event is recorded once it has happened", on.isoformat())
    scopes = {
        (purpose.name, dataset): scope.retention
        for purpose in custody.policy.purposes.values()
        for dataset, scope in purpose.scopes.items()
        if scope.retention.start_event == event
    }
    if not scopes:
        raise UsageError("no retention period starts at this event", event)
    with transaction(custody.data) as connection:
        _lock_active(connection, customer_id)
        customers.raise_generations(connection, [customer_id], "active")
        customers.add_retention_event(connection, customer_id, event, on, custody.now())
        rows = [
            row
            for row in records.records_of(connection, [customer_id])
            if (row.purpose, row.dataset) in scopes
        ]
        days = {row.id: ends_on(on, scopes[row.purpose, row.dataset].period) for row in rows}
        records.set_last_days(connection, days)
        endings.end_keys_of_records(connection, list(days), "rebased", custody.now())
        facts = {"event": event, "on": on.isoformat(), "records": len(days)}
        record(connection, custody, actor, "customer:retention:started", facts)
    reached("retention:started")
    finish_endings(custody, actor, [customer_id])
    return len(days)


def _lock_active(connection: Connection, customer_id: UUID) -> None:
    _, state = customers.lock_customers(connection, [customer_id]).get(customer_id, (0, ""))
    if state != "active":
        raise RefusedError(show_id(CUSTOMER, customer_id), (Reason(code="subject_unknown"),))


def _require_record(connection: Connection, customer_id: UUID, record_id: UUID) -> None:
    """Look under the customer's lock: nobody may be told that an erased record is kept."""
    found = records.records_by_id(connection, [record_id])
    if not any(row.customer_id == customer_id for row in found):
        shown = show_id(CUSTOMER, customer_id)
        raise RefusedError(shown, (Reason(code="record_erased", about=show_id(RECORD, record_id)),))
