"""The draft of a chunk's store: whose each row is, where it goes, under which level.

A draft is made from what the database says without locks, so that keys can be had before the data
transaction; :mod:`custody.acts.rechecking` looks at all of it again under the customers' locks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.basis import Ground, JudgedBasis, consents_for
from custody.acts.context import Custody
from custody.acts.draft import Draft, Planned
from custody.acts.sealing import open_present
from custody.acts.subjects import (
    epochs_of,
    generations_of,
    is_suppressed,
    kinds_of,
    read_directory,
    read_suppressed,
    record_key_of,
    record_tags,
    references_of,
)
from custody.classification import Classifier, RowClassification
from custody.consent import Consent
from custody.database import consents, customers, records
from custody.database.batches import Batch
from custody.database.consents import ConsentsMark
from custody.database.holds import Hold, holds_on
from custody.database.records import RecordKey
from custody.identifiers import random_id, time_ordered_ids
from custody.identity import Directory, IdentityConflictError, Reference
from custody.intake import IntakeRow
from custody.keys.tags import Epochs
from custody.parts import new_pseudonym
from custody.policy.model import Dataset, Level, Retention
from custody.randomness import Pool
from custody.record import PSEUDONYM, Payload, PayloadReader, Value
from custody.retention import day_in, ends_on, is_due, period_of


@dataclass(slots=True)
class _Desk:
    """What lies ready while the rows of a chunk are drafted one after the other."""

    custody: Custody
    batch: Batch
    dataset: Dataset
    retention: Retention
    ground: Ground
    directory: Directory
    generations: Mapping[UUID, int]
    stored: Mapping[bytes, RecordKey]
    consents_mark: ConsentsMark | None
    consents: Mapping[UUID, Sequence[Consent]] | None
    held: Mapping[UUID, Sequence[Hold]]
    events: Mapping[tuple[UUID, str], date]
    suppressed: Mapping[bytes, datetime]
    pseudonyms: dict[UUID, str]
    today: date
    record_ids: Iterator[UUID]
    randomness: Pool
    classifier: Classifier
    names: Mapping[int, str]
    new_customers: set[UUID] = field(default_factory=set)
    newly_named: set[UUID] = field(default_factory=set)


def draft_chunk(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    rows: Sequence[IntakeRow],
    judged: JudgedBasis | None,
) -> Draft:
    """Draft the store of a chunk from the database as it is now.

    Args:
        custody: The installation.
        connection: The data database.
        batch: The batch.
        rows: The chunk's rows.
        judged: What ingest said of their consents, unless they are to be judged again. Whether
            they are still the same is asked under the customers' locks.
    """
    dataset = custody.policy.dataset(batch.dataset)
    ground = Ground(custody, dataset, custody.policy.purpose(batch.purpose))
    retention = custody.policy.scope(batch.purpose, batch.dataset).retention
    started_by = frozenset(filter(None, [retention.start_field]))
    reader = PayloadReader(dataset, ground.typed_fields | started_by | {*dataset.record_key})
    epochs = epochs_of(custody, connection)
    kinds = kinds_of(custody, epochs, dataset, batch.namespace)
    values = [reader.read(row.values) for row in rows]
    references = [references_of(kinds, one) for one in values]
    tags = record_tags(epochs, dataset.name, batch.purpose, batch.namespace)
    tagged = [tags.tagged(record_key_of(dataset, one)) for one in values]
    stored = tags.stored(connection, tagged)
    desk = _set_out(custody, connection, epochs, batch, ground, stored, references, judged)
    planned: list[Planned] = []
    refused: list[tuple[IntakeRow, tuple[str, ...]]] = []
    unchanged = 0
    for row, held, named, own in zip(rows, values, references, tagged, strict=True):
        if own is None:  # the policy names records otherwise since
            refused.append((row, ("required_missing",)))
            continue
        known = desk.stored.get(own.tag)
        if known is not None and known.content_tag == row.content_tag:
            unchanged += 1
            continue
        codes, customer = _whose(desk, held, named, known)
        if customer is None:
            refused.append((row, codes))
        else:
            planned.append(_plan(desk, row, own.tag, held, customer, known))
    concerned = {one.customer_id for one in planned} - desk.new_customers
    return Draft(
        planned=tuple(planned),
        refused=tuple(refused),
        unchanged=unchanged,
        directory=desk.directory,
        new_customers=frozenset(desk.new_customers),
        generations={one: desk.generations[one] for one in concerned & desk.generations.keys()},
        newly_named=frozenset(desk.newly_named),
        consents_mark=desk.consents_mark,
        looked_at=frozenset(desk.generations),
    )


def _set_out(  # noqa: PLR0913 - what a desk is made of
    custody: Custody,
    connection: Connection,
    epochs: Epochs,
    batch: Batch,
    ground: Ground,
    stored: Mapping[bytes, RecordKey],
    references: Sequence[Sequence[Reference]],
    judged: JudgedBasis | None,
) -> _Desk:
    dataset = custody.policy.dataset(batch.dataset)
    directory = read_directory(connection, epochs, references)
    known = set(directory.by_tag.values())
    # Before all that a raised generation announces: what is read later is at least as new.
    generations = generations_of(connection, known)
    given = None
    if judged is None and ground.purpose.needs_consent:
        given = consents.read_consents(connection, generations)
    mark = judged.mark if judged else given.mark_of(generations.keys()) if given else None
    randomness = Pool()
    held: dict[UUID, list[Hold]] = {}
    for hold in holds_on(connection, known):
        held.setdefault(hold.customer_id, []).append(hold)
    return _Desk(
        custody=custody,
        batch=batch,
        dataset=dataset,
        retention=custody.policy.scope(batch.purpose, batch.dataset).retention,
        ground=ground,
        directory=directory,
        generations=generations,
        stored=stored,
        consents_mark=mark,
        consents=None if given is None else given.given,
        held=held,
        events=customers.retention_events(connection, known),
        suppressed=read_suppressed(custody, connection, directory, references),
        pseudonyms=_pseudonyms(custody, connection, known),
        today=custody.today(),
        record_ids=time_ordered_ids(custody.now(), randomness),
        randomness=randomness,
        classifier=Classifier(dataset),
        names={one.number: one.name for one in dataset.fields},
    )


def _pseudonyms(custody: Custody, connection: Connection, known: set[UUID]) -> dict[UUID, str]:
    opened = open_present(custody, lambda: records.one_record_each(connection, known))
    return {one.row.customer_id: one.pseudonym for one in opened}


def _whose(
    desk: _Desk,
    values: Mapping[str, Value],
    references: Sequence[Reference],
    known: RecordKey | None,
) -> tuple[tuple[str, ...], UUID | None]:
    """Return whose the row is, or every code by which store refuses it."""
    try:
        customer = desk.directory.find(references)
    except IdentityConflictError:
        return (("identity_conflict",), None)
    codes: tuple[str, ...] = ()
    if desk.consents is not None:
        given = consents_for(customer, desk.consents)
        codes = desk.ground.against(values, frozenset(values), given)
    if customer is None:
        codes += tuple(_against_unknown(desk, references))
    elif known is not None:
        codes += tuple(_against_replacing(desk, customer, known))
    if codes:
        return (tuple(sorted(set(codes))), None)
    if customer is None:
        customer = random_id()
        desk.new_customers.add(customer)
    desk.directory.learn(customer, references)
    return ((), customer)


def _against_unknown(desk: _Desk, references: Sequence[Reference]) -> Iterator[str]:
    """Yield why somebody nobody knows is not let in."""
    if is_suppressed(desk.suppressed, references):
        yield "subject_suppressed"
    if not desk.dataset.creates_customer:
        yield "subject_unknown"


def _against_replacing(desk: _Desk, customer: UUID, known: RecordKey) -> Iterator[str]:
    """Yield why the record with the row's key may not be replaced by the row."""
    if known.customer_id != customer:
        yield "identity_conflict"
    if any(hold.covers(known.record_id) for hold in desk.held.get(customer, ())):
        yield "held"


def _plan(
    desk: _Desk,
    row: IntakeRow,
    tag: bytes,
    values: Mapping[str, Value],
    customer: UUID,
    known: RecordKey | None,
) -> Planned:
    today = desk.today
    last_day = last_day_of_record(desk.custody, desk.retention, values, customer, desk.events)
    levels = desk.classifier.classify(values, on=today)
    return Planned(
        row=row,
        record_tag=tag,
        customer_id=customer,
        record_id=known.record_id if known else next(desk.record_ids),
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
    pseudonym = desk.pseudonyms.get(customer)
    if pseudonym is None:
        pseudonym = desk.pseudonyms[customer] = new_pseudonym(desk.randomness)
        desk.newly_named.add(customer)
    payloads: dict[Level, Payload] = {Level.GENERAL: {PSEUDONYM: pseudonym}}
    found = levels.levels
    for number, value in row.values.items():
        name = desk.names.get(number)
        if name is None:  # of a field that was dropped since
            continue
        level = found[name]
        there = payloads.get(level)
        if there is None:
            payloads[level] = {number: value}
        else:
            there[number] = value
    return payloads
