"""Planning destruction: what is due as of a day and not held, written down before anything goes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.batches import require_batch
from custody.acts.clock import require_steady_clock
from custody.acts.context import Actor, Custody
from custody.acts.policy import remember_policy
from custody.acts.recording import record
from custody.acts.requests import file_destruction
from custody.counts import count_codes
from custody.database import customers, plans
from custody.database import due as due_tables
from custody.database.due import DueRecord
from custody.database.engine import transaction
from custody.database.holds import Hold, holds_on
from custody.database.plans import Plan
from custody.destruction import count_by_reason, data_digest, purge_cap
from custody.errors import UsageError
from custody.identifiers import PLAN, STAFF, read_id, show_id, time_ordered_id
from custody.steps import reached

CHUNK_CUSTOMERS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a plan looks at: everything as of a day, or only one customer or one batch.

    Naming a customer plans all of the customer's records (a request under PIPL art. 47); naming a
    batch plans what it brought.
    """

    as_of: date
    customer_id: UUID | None = None
    batch_id: UUID | None = None


def plan_destruction(custody: Custody, actor: Actor, scope: Scope) -> Plan:
    """Write down what is due in ``scope`` and not held, with counts and reasons.

    Planning may look ahead; applying beyond today is another matter.

    Raises:
        UsageError: There is no such batch.
        RefusedError: The clock jumped since the last act.
    """
    if scope.batch_id is not None:
        require_batch(custody, scope.batch_id)
    with transaction(custody.data) as connection:
        require_steady_clock(connection, custody, scope.as_of.isoformat())
        remember_policy(connection, custody)
        due, held = select_due(custody, connection, scope)
        plan = Plan(
            id=time_ordered_id(custody.now()),
            as_of=scope.as_of,
            policy_digest=custody.policy.digest,
            data_digest=data_digest(due),
            state="planned",
            summary=_summary(custody, connection, scope, due, held),
            request_id=None,
            created_at=custody.now(),
            created_by=f"{actor.how}:{actor.name}",
        )
        plans.add_plan(connection, plan, due, CHUNK_CUSTOMERS)
        if plan.summary["needs_approval"]:
            plan = _ask_for_approval(custody, connection, actor, plan, held)
        facts = {"plan": show_id(PLAN, plan.id), "as_of": plan.as_of.isoformat()}
        counts = {"records": len(due), "held": len(held)}
        record(connection, custody, actor, "plan:destroy:written", {**facts, **counts})
    reached("plan:written")
    return plan


def _ask_for_approval(
    custody: Custody, connection: Connection, actor: Actor, plan: Plan, held: Sequence[DueRecord]
) -> Plan:
    """File the request that two people must approve; a signed planner is not one of them."""
    requester = read_id(STAFF, actor.name) if actor.how == "signed" else None
    left_out = count_codes(["held"] for _ in held)
    request_id = file_destruction(
        connection, custody, plan.id, requester=requester, left_out=left_out
    )
    plans.set_plan_request(connection, plan.id, request_id)
    return replace(plan, request_id=request_id)


def require_plan(custody: Custody, plan_id: UUID) -> Plan:
    """Return the plan.

    Raises:
        UsageError: There is none with this identifier.
    """
    with transaction(custody.data) as connection:
        plan = plans.find_plan(connection, plan_id)
    if plan is None:
        raise UsageError("no such plan", show_id(PLAN, plan_id))
    return plan


def scope_of(plan: Plan) -> Scope:
    """Return what a plan looked at, so that it can be looked at again."""
    customer, batch = plan.summary["customer"], plan.summary["batch"]
    return Scope(
        as_of=plan.as_of,
        customer_id=UUID(customer) if customer else None,
        batch_id=UUID(batch) if batch else None,
    )


def select_due(
    custody: Custody, connection: Connection, scope: Scope
) -> tuple[list[DueRecord], list[DueRecord]]:
    """Return what is due and not held, and what is due and held.

    A record due for two reasons is listed once, under the first: a batch or a customer named,
    consent withdrawn, retention over.
    """
    found: dict[UUID, DueRecord] = {}
    for due in _candidates(custody, connection, scope):
        found.setdefault(due.record_id, due)
    holds: dict[UUID, list[Hold]] = {}
    for hold in holds_on(connection):
        holds.setdefault(hold.customer_id, []).append(hold)
    held = {
        due.record_id
        for due in found.values()
        if any(hold.covers(due.record_id) for hold in holds.get(due.customer_id, ()))
    }
    ordered = [found[record_id] for record_id in sorted(found)]
    free = [due for due in ordered if due.record_id not in held]
    return free, [due for due in ordered if due.record_id in held]


def _candidates(custody: Custody, connection: Connection, scope: Scope) -> Sequence[DueRecord]:
    if scope.batch_id is not None:
        return due_tables.due_of_batch(connection, scope.batch_id)
    if scope.customer_id is not None:
        return due_tables.due_of_customer(connection, scope.customer_id)
    consenting = [p.name for p in custody.policy.purposes.values() if p.needs_consent]
    return [
        *due_tables.due_by_withdrawal(connection, consenting, end_of(custody, scope.as_of)),
        *due_tables.due_by_retention(connection, scope.as_of),
    ]


def end_of(custody: Custody, day: date) -> datetime:
    """Return the instant at which ``day`` ends in the installation's zone, or now if sooner.

    A plan of today counts withdrawals made so far, not those that are announced for tonight.
    """
    end = datetime.combine(day + timedelta(days=1), time.min, custody.zone)
    return min(end, custody.now()) if day == custody.today() else end


def _summary(
    custody: Custody,
    connection: Connection,
    scope: Scope,
    due: Sequence[DueRecord],
    held: Sequence[DueRecord],
) -> dict[str, object]:
    settings = custody.policy.settings
    everybody = customers.count_customers(connection)
    cap = purge_cap(everybody, settings.purge_cap_minimum, settings.purge_cap_percent)
    concerned = len({one.customer_id for one in due})
    return {
        "records": len(due),
        "customers": concerned,
        "due": count_by_reason(due),
        "held": count_by_reason(held),
        "cap": cap,
        "needs_approval": int(concerned > cap),
        "customer": str(scope.customer_id or ""),
        "batch": str(scope.batch_id or ""),
    }
