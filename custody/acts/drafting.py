"""The draft of a chunk's store: whose each row is, where it goes, under which level.

A draft is made from what the database says without locks, so that keys can be had before the data
transaction; :mod:`custody.acts.rechecking` looks at all of it again under the customers' locks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.basis import Ground, against_basis, consents_for
from custody.acts.context import Custody
from custody.acts.sealing import new_alias, open_present
from custody.acts.subjects import (
    generations_of,
    read_directory,
    references_of,
)
from custody.classification import RowClassification, classify_row
from custody.counts import count_codes
from custody.database import customers, records
from custody.database.batches import Batch
from custody.database.consents import consents_of
from custody.database.holds import Hold, holds_on
from custody.database.records import RecordKey
from custody.identifiers import random_id, time_ordered_id
from custody.identity import Directory, IdentityConflictError, Reference
from custody.intake import IntakeRow
from custody.policy.model import Dataset, Level, Retention
from custody.record import ALIAS, Payload, Value, from_payload
from custody.retention import day_in, ends_on, is_due, period_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One row as it will be written."""

    row: IntakeRow = field(repr=False)
    customer_id: UUID
    record_id: UUID
    version: int
    period: str
    ends_on: date | None
    replaces: RecordKey | None
    payloads: Mapping[Level, Payload] = field(repr=False)
    level_raised: bool
    overdue: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What becomes of every row of a chunk, and what that relies on."""

    planned: tuple[Planned, ...]
    refused: tuple[tuple[IntakeRow, tuple[str, ...]], ...]
    unchanged: int
    directory: Directory
    new_customers: frozenset[UUID]
    generations: Mapping[UUID, int]
    new_aliases: frozenset[UUID]

    def keys_wanted(self) -> dict[tuple[UUID, str], int]:
        """Return the customer's generation for each (customer, period) that needs a key."""
        return {
            (one.customer_id, one.period): self.generations.get(one.customer_id, 1)
            for one in self.planned
        }

    def warnings(self) -> dict[str, int]:
        """Return how many rows were raised in level, and how many arrive overdue."""
        raised = (["level_raised"] for one in self.planned if one.level_raised)
        overdue = (["retention_already_over"] for one in self.planned if one.overdue)
        return count_codes([*raised, *overdue])


@dataclass(slots=True)
class _Desk:
    """What lies ready while the rows of a chunk are drafted one after the other."""

    custody: Custody
    batch: Batch
    dataset: Dataset
    retention: Retention
    directory: Directory
    generations: Mapping[UUID, int]
    stored: Mapping[bytes, RecordKey]
    basis: Mapping[int, tuple[str, ...]]
    held: Mapping[UUID, Sequence[Hold]]
    events: Mapping[tuple[UUID, str], date]
    suppressed: Mapping[bytes, datetime]
    aliases: dict[UUID, str]
    new_customers: set[UUID] = field(default_factory=set)
    new_aliases: set[UUID] = field(default_factory=set)


def draft_chunk(
    custody: Custody, connection: Connection, batch: Batch, rows: Sequence[IntakeRow]
) -> Draft:
    """Draft the store of a chunk from the database as it is now."""
    dataset = custody.policy.dataset(batch.dataset)
    values = {row.number: from_payload(dataset, row.values) for row in rows}
    references = {
        row.number: references_of(custody, dataset, batch.namespace, values[row.number])
        for row in rows
    }
    desk = _set_out(custody, connection, batch, rows, values, references)
    planned: list[Planned] = []
    refused: list[tuple[IntakeRow, tuple[str, ...]]] = []
    unchanged = 0
    for row in rows:
        known = desk.stored.get(row.record_tag)
        if known is not None and bytes(known.content_tag) == row.content_tag:
            unchanged += 1
            continue
        codes, customer = _whose(desk, row, references[row.number], known)
        if customer is None:
            refused.append((row, codes))
        else:
            planned.append(_plan(desk, row, values[row.number], customer, known))
    concerned = {one.customer_id for one in planned} - desk.new_customers
    return Draft(
        planned=tuple(planned),
        refused=tuple(refused),
        unchanged=unchanged,
        directory=desk.directory,
        new_customers=frozenset(desk.new_customers),
        generations={one: desk.generations[one] for one in concerned & desk.generations.keys()},
        new_aliases=frozenset(desk.new_aliases),
    )


def _set_out(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    rows: Sequence[IntakeRow],
    values: Mapping[int, Mapping[str, Value]],
    references: Mapping[int, Sequence[Reference]],
) -> _Desk:
    dataset = custody.policy.dataset(batch.dataset)
    directory = read_directory(connection, references.values())
    known = set(directory.by_tag.values())
    # Before all that a raised generation announces: what is read later is at least as new.
    generations = generations_of(connection, known)
    held: dict[UUID, list[Hold]] = {}
    for hold in holds_on(connection, known):
        held.setdefault(hold.customer_id, []).append(hold)
    tags = {r.suppression_tag for found in references.values() for r in found}
    return _Desk(
        custody=custody,
        batch=batch,
        dataset=dataset,
        retention=custody.policy.scope(batch.purpose, batch.dataset).retention,
        directory=directory,
        generations=generations,
        stored=records.record_keys(connection, {row.record_tag for row in rows}),
        basis=_basis(custody, connection, batch, directory, values, references),
        held=held,
        events=customers.retention_events(connection, known),
        suppressed=customers.suppressed(connection, tags, custody.today()),
        aliases=_aliases(custody, connection, known),
    )


def _basis(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    directory: Directory,
    values: Mapping[int, Mapping[str, Value]],
    references: Mapping[int, Sequence[Reference]],
) -> dict[int, tuple[str, ...]]:
    """Return each row's codes against its basis as it is now: a consent may be gone by now."""
    dataset = custody.policy.dataset(batch.dataset)
    ground = Ground(dataset=dataset, purpose=custody.policy.purpose(batch.purpose))
    if not ground.purpose.needs_consent:
        return {}
    consents = consents_of(connection, set(directory.by_tag.values()))
    codes = {}
    for number, row in values.items():
        customer = next(
            (directory.by_tag[r.tag] for r in references[number] if r.tag in directory.by_tag), None
        )
        given = consents_for(customer, consents)
        codes[number] = against_basis(custody, ground, row, frozenset(row), given)
    return codes


def _aliases(custody: Custody, connection: Connection, known: set[UUID]) -> dict[UUID, str]:
    opened = open_present(custody, lambda: records.one_record_each(connection, known))
    return {one.row.customer_id: one.alias for one in opened}


def _whose(
    desk: _Desk, row: IntakeRow, references: Sequence[Reference], known: RecordKey | None
) -> tuple[tuple[str, ...], UUID | None]:
    """Return whose the row is, or every code by which store refuses it."""
    try:
        customer = desk.directory.find(references)
    except IdentityConflictError:
        return (("identity_conflict",), None)
    against = _against_unknown if customer is None else _against_replacing
    codes = {*desk.basis.get(row.number, ()), *against(desk, customer, references, known)}
    if codes:
        return (tuple(sorted(codes)), None)
    if customer is None:
        customer = random_id()
        desk.new_customers.add(customer)
    desk.directory.learn(customer, references)
    return ((), customer)


def _against_unknown(
    desk: _Desk, _customer: UUID | None, references: Sequence[Reference], _known: RecordKey | None
) -> Iterator[str]:
    """Yield why somebody nobody knows is not let in."""
    if any(reference.suppression_tag in desk.suppressed for reference in references):
        yield "subject_suppressed"
    if not desk.dataset.creates_customer:
        yield "subject_unknown"


def _against_replacing(
    desk: _Desk, customer: UUID | None, _references: Sequence[Reference], known: RecordKey | None
) -> Iterator[str]:
    """Yield why the record with the row's key may not be replaced by the row."""
    if known is None or customer is None:
        return
    if known.customer_id != customer:
        yield "identity_conflict"
    if any(hold.covers(known.record_id) for hold in desk.held.get(customer, ())):
        yield "held"


def _plan(
    desk: _Desk,
    row: IntakeRow,
    values: Mapping[str, Value],
    customer: UUID,
    known: RecordKey | None,
) -> Planned:
    today = desk.custody.today()
    last_day = last_day_of_record(desk.custody, desk.retention, values, customer, desk.events)
    levels = classify_row(desk.dataset, values, on=today)
    return Planned(
        row=row,
        customer_id=customer,
        record_id=known.record_id if known else time_ordered_id(desk.custody.now()),
        version=known.version + 1 if known else 1,
        period=period_of(last_day, today),
        ends_on=last_day,
        replaces=known,
        payloads=_payloads(desk, row, levels, customer),
        level_raised=bool(levels.raised),
        overdue=is_due(last_day, today),
    )


def last_day_of_record(
    custody: Custody,
    retention: Retention,
    values: Mapping[str, Value],
    customer: UUID,
    events: Mapping[tuple[UUID, str], date],
) -> date | None:
    """Return the last day a record may be kept, None while its clock has not started."""
    start: object = None
    if retention.start_field is not None:
        start = values.get(retention.start_field)
    elif retention.start_event is not None:
        start = events.get((customer, retention.start_event))
    if isinstance(start, datetime):
        start = day_in(custody.zone, start)
    return ends_on(start, retention.period) if isinstance(start, date) else None


def _payloads(
    desk: _Desk, row: IntakeRow, levels: RowClassification, customer: UUID
) -> dict[Level, Payload]:
    alias = desk.aliases.get(customer)
    if alias is None:
        alias = desk.aliases[customer] = new_alias()
        desk.new_aliases.add(customer)
    payloads: dict[Level, Payload] = {Level.GENERAL: {ALIAS: alias}}
    for described, value in desk.dataset.present(row.values):
        payloads.setdefault(levels.levels[described.name], {})[described.number] = value
    return payloads
