"""Applying a plan of destruction: claim, erase by chunks of customers, verify, certify.

The order of one chunk (design, "One customer's erasure"):

1. keys that will seal nothing more, or that seal withdrawn data, are retired in the key database;
2. in one transaction, under the customers' locks, holds, consents and versions are looked at again,
   rows, keys of their own and index entries are deleted, identities with nothing left end, their
   generation is raised, and the ledger's entry states the intent to end the keys;
3. survivors under those keys are sealed again, the keys are deleted, and the ledger says so.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.clock import require_steady_clock
from custody.acts.context import Actor, Custody
from custody.acts.endings import finish_endings
from custody.acts.planning import end_of, require_plan, scope_of, select_due
from custody.acts.recording import record
from custody.acts.references import suppression_tags
from custody.acts.sealing import salts_of
from custody.acts.subjects import ChangedMeanwhileError
from custody.acts.vote import require_approval
from custody.consent import withdrawn_purposes
from custody.counts import count_codes
from custody.database import consents as consent_tables
from custody.database import customers as customer_tables
from custody.database import endings, identities, plans, records
from custody.database.due import DueRecord
from custody.database.engine import transaction
from custody.database.holds import Hold, holds_on
from custody.database.plans import Plan
from custody.destruction import data_digest, reasons_against_applying
from custody.errors import AwaitingApprovalError, RefusedError, UsageError
from custody.identifiers import PLAN, show_id
from custody.parts import SALT_BYTES, Parts
from custody.record import RecordRow
from custody.retention import is_due
from custody.steps import reached

_DAYS_A_YEAR = 366


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureReceipt:
    """What became of one chunk of a plan."""

    plan_id: UUID
    chunk: int
    outcomes: Mapping[str, int]
    identities_ended: int


def claim_plan(custody: Custody, actor: Actor, plan_id: UUID) -> list[int]:
    """Begin, or resume, applying a plan, and return the numbers of its chunks.

    Raises:
        RefusedError: Data or policy moved since it was written, it lies in the future, or the clock
            jumped.
        AwaitingApprovalError: It concerns more customers than one person may purge.
    """
    require_plan(custody, plan_id)
    with transaction(custody.data) as connection:
        plan = plans.find_plan(connection, plan_id, lock=True)
        if plan is None:
            return []
        if plan.state == "planned":
            require_steady_clock(connection, custody, show_id(PLAN, plan_id))
            _require_applicable(custody, connection, plan)
            lists_something = bool(plan.summary["records"])
            state = "applying" if lists_something else "applied"
            plans.set_plan_state(connection, plan_id, state)
            facts = {"plan": show_id(PLAN, plan_id), "as_of": plan.as_of.isoformat()}
            record(connection, custody, actor, "plan:destroy:begun", facts)
        chunks = plans.plan_chunks(connection, plan_id)
    reached("claim:plan-begun")
    return chunks


def erase_chunk(custody: Custody, actor: Actor, plan_id: UUID, chunk: int) -> ErasureReceipt:
    """Erase what a chunk of the plan lists and is still due and not held; safe to run again.

    Raises:
        UsageError: The plan was not begun: :func:`claim_plan` is what looks at its approval.
    """
    with transaction(custody.data) as connection:
        waiting = plans.customers_planned(connection, plan_id, chunk)
        everybody = plans.customers_of_chunk(connection, plan_id, chunk)
        due = plans.planned_records(connection, plan_id, waiting)
        doomed = _doomed_keys(connection, waiting, due)
    plan = _require_begun(custody, plan_id)
    custody.keyring.retire(doomed)
    reached("erase:keys-retired")
    if waiting:
        with transaction(custody.data) as connection:
            customer_tables.lock_customers(connection, waiting)
            # Another process may have dealt with them while this one waited for the locks.
            still = plans.customers_planned(connection, plan_id, chunk)
            if still:
                _erase(custody, connection, actor, plan, still)
        reached("erase:rows-deleted")
    finish_endings(custody, actor, everybody)
    return _receipt(custody, plan_id, chunk, everybody)


def _require_begun(custody: Custody, plan_id: UUID) -> Plan:
    plan = require_plan(custody, plan_id)
    if plan.state not in ("applying", "applied"):
        raise UsageError("the plan is not begun", show_id(PLAN, plan_id))
    return plan


def _require_applicable(custody: Custody, connection: Connection, plan: Plan) -> None:
    due, _ = select_due(custody, connection, scope_of(plan))
    moved = (data_digest(due), custody.policy.digest) != (
        bytes(plan.data_digest),
        plan.policy_digest,
    )
    reasons = reasons_against_applying(
        as_of=plan.as_of, today=custody.today(), synthetic=custody.synthetic, moved=moved
    )
    if reasons:
        raise RefusedError(show_id(PLAN, plan.id), reasons)
    if plan.summary["needs_approval"]:
        if plan.request_id is None:
            raise AwaitingApprovalError(show_id(PLAN, plan.id), 0, 2)
        require_approval(connection, custody, plan.request_id)


def _doomed_keys(
    connection: Connection, customers: Sequence[UUID], due: Sequence[DueRecord]
) -> set[UUID]:
    """Return the keys to end with these records.

    A key that seals anything else stays when retention alone takes its records: the period's end
    makes that final. Where consent was withdrawn or erasure asked for, it ends in any case.
    """
    going = {one.record_id: one.reason for one in due}
    rows = records.records_of(connection, customers)
    staying = {row.key_id for row in rows if row.id not in going}
    at_once = {r.key_id for r in rows if going.get(r.id, "retention_over") != "retention_over"}
    return {row.key_id for row in rows if row.id in going} - (staying - at_once)


def _erase(
    custody: Custody, connection: Connection, actor: Actor, plan: Plan, waiting: Sequence[UUID]
) -> None:
    due = plans.planned_records(connection, plan.id, waiting)
    rows = {row.id: row for row in records.records_of(connection, waiting)}
    outcomes = _decide(custody, connection, plan, due, rows)
    going = [record_id for record_id, outcome in outcomes.items() if outcome == "destroyed"]
    gone = [one for one in due if outcomes[one.record_id] == "destroyed"]
    doomed = _doomed_keys(connection, waiting, gone)
    parts = _parts(custody, [rows[one] for one in going])
    owners = {row.key_id: row.customer_id for row in rows.values()}
    endings.end_keys(
        connection, [(key, owners[key]) for key in doomed], "erased", custody.now(), plan.id
    )
    if records.delete_records(connection, going) != len(going):
        raise ChangedMeanwhileError
    ended, unreadable = _end_identities(custody, connection, plan.id, waiting)
    customer_tables.raise_generations(
        connection, {one.customer_id for one in gone} - set(ended), "active"
    )
    plans.save_outcomes(connection, plan.id, outcomes)
    plans.customers_dealt_with(connection, plan.id, waiting, ended)
    facts = {
        "plan": show_id(PLAN, plan.id),
        "outcomes": count_codes([outcome] for outcome in outcomes.values()),
        "keys_to_end": len(doomed),
        "identities_ended": len(ended),
        "not_suppressed": unreadable,
    }
    record(connection, custody, actor, "record:data:deleted", facts, parts)


def _parts(custody: Custody, going: Sequence[RecordRow]) -> Parts:
    """Return the parts of records that go; of one that does not open nobody can prove its own."""
    parts, salts = Parts(), salts_of(custody, going)
    for row in going:
        parts.add(salts.get(row.id) or os.urandom(SALT_BYTES), row.id, row.version)
    return parts


def _decide(
    custody: Custody,
    connection: Connection,
    plan: Plan,
    due: Sequence[DueRecord],
    rows: Mapping[UUID, RecordRow],
) -> dict[UUID, str]:
    """Return each record's outcome, looked at again under the customers' locks.

    A record that is not there any more has failed, unless another plan says that it destroyed it.
    """
    concerned = {one.customer_id for one in due}
    holds = holds_on(connection, concerned)
    consents = consent_tables.consents_of(connection, concerned)
    until = end_of(custody, plan.as_of)
    withdrawn = {customer: withdrawn_purposes(given, until) for customer, given in consents.items()}
    outcomes = {one.record_id: _outcome(plan, one, rows, holds, withdrawn) for one in due}
    vanished = [record_id for record_id, outcome in outcomes.items() if outcome == "failed"]
    explained = plans.destroyed_by_others(connection, plan.id, vanished) if vanished else set()
    return outcomes | dict.fromkeys(explained, "no_longer_due")


def _outcome(
    plan: Plan,
    due: DueRecord,
    rows: Mapping[UUID, RecordRow],
    holds: Sequence[Hold],
    withdrawn: Mapping[UUID, Mapping[str, datetime]],
) -> str:
    row = rows.get(due.record_id)
    if row is None:
        return "failed"
    if any(h.customer_id == due.customer_id and h.covers(due.record_id) for h in holds):
        return "held"
    still_due = {
        "retention_over": is_due(row.ends_on, plan.as_of),
        "consent_withdrawn": _has_lost_basis(row, withdrawn.get(row.customer_id, {})),
    }.get(due.reason, True)
    return "destroyed" if still_due and row.version == due.version else "no_longer_due"


def _has_lost_basis(row: RecordRow, withdrawn: Mapping[str, datetime]) -> bool:
    until = withdrawn.get(row.purpose)
    return until is not None and row.stored_at < until


def _end_identities(
    custody: Custody, connection: Connection, plan_id: UUID, customers: Iterable[UUID]
) -> tuple[list[UUID], int]:
    """End the identity of customers with nothing left, and remember that they were erased.

    Returns:
        Who they are, and how many of their references do not open and so are not remembered.
    """
    ended = customer_tables.customers_with_nothing(connection, customers, custody.now())
    if not ended:
        return [], 0
    references = identities.delete_tags(connection, ended)
    suppressions, unreadable = suppression_tags(custody, references)
    years = custody.policy.settings.suppression_years
    until = custody.today() + timedelta(days=_DAYS_A_YEAR * years)
    customer_tables.suppress(connection, suppressions, custody.now(), until)
    customer_tables.raise_generations(connection, ended, "erased")
    keys = {one.key_id: one.customer_id for one in references}
    endings.end_keys(connection, list(keys.items()), "erased", custody.now(), plan_id)
    return ended, unreadable


def _receipt(
    custody: Custody, plan_id: UUID, chunk: int, customers: Sequence[UUID]
) -> ErasureReceipt:
    with transaction(custody.data) as connection:
        done = plans.planned_records(connection, plan_id, customers)
        ended = set(plans.identities_ended(connection, plan_id)) & set(customers)
    return ErasureReceipt(
        plan_id=plan_id,
        chunk=chunk,
        outcomes=count_codes([one.outcome] for one in done),
        identities_ended=len(ended),
    )
