"""Writing a chunk's records: sealed rows, record keys, search entries; then the gate of store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.draft import Draft, Planned
from custody.acts.sealing import seal_payloads
from custody.acts.stored import check_stored
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import endings, identities, records
from custody.database.batches import Batch
from custody.database.records import RecordKey
from custody.database.search import Plan, SearchEntry, copy_search, delete_search, share_plans
from custody.parts import Parts, salt_of
from custody.policy.model import Dataset, Level
from custody.randomness import Pool, Randomness
from custody.record import PSEUDONYM, RecordRow
from custody.seal import DataKey
from custody.searching import FULL_BITS, fitting_bits, index_of, indexes_of, searches_of, term_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was written of a chunk: the parts of the act, and what the gate of store counted."""

    parts: Parts
    counts: Sequence[tuple[int, int]]


def write_records(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    draft: Draft,
    keys: Mapping[tuple[UUID, str], DataKey],
    accepted: int,
) -> Written:
    """Write a chunk's records with all that belongs to them, and look at what is there then.

    Args:
        custody: The installation.
        connection: The transaction.
        batch: The batch the chunk is of.
        draft: What becomes of every row.
        keys: The data keys, by customer and period.
        accepted: How many rows of the chunk ingest accepted.

    Raises:
        ChangedMeanwhileError: A version that is replaced is not there any more.
    """
    # Before any entry goes: whoever fits an index locks it in this order too.
    dataset = custody.policy.dataset(batch.dataset)
    expected = fitting_bits(batch.chunks * len(draft.planned), FULL_BITS)
    plans = share_plans(connection, dataset.name, indexes_of(dataset), expected)
    replaced = [planned for planned in draft.planned if planned.replaces is not None]
    old = [planned.record_id for planned in replaced]
    if old:
        endings.end_keys_of_records(connection, old, "replaced", custody.now())
        delete_search(connection, old)
        if records.delete_rows(connection, old) != len(old):
            raise ChangedMeanwhileError
    _write_record_keys(connection, draft)
    randomness, stored_at = Pool(), custody.now()
    rows = (
        _seal(custody, batch, planned, keys, randomness, stored_at) for planned in draft.planned
    )
    records.copy_records(connection, rows)
    entries = _search_entries(custody, plans, dataset, draft.planned)
    copy_search(connection, entries)
    leading = [_record_key(one) for one in draft.planned]
    counts = check_stored(custody, connection, batch, draft, leading, accepted, len(entries))
    return Written(parts=_parts(draft.planned, randomness), counts=counts)


def _parts(planned: Sequence[Planned], randomness: Randomness) -> Parts:
    parts = Parts(randomness)
    for one in planned:
        pseudonym = str(one.payloads[Level.GENERAL][PSEUDONYM])
        parts.add(salt_of(pseudonym), one.record_id, one.version)
    return parts


def _write_record_keys(connection: Connection, draft: Draft) -> None:
    epoch = draft.directory.epoch
    renewed = [
        (one.replaces.tag, one.record_tag)
        for one in draft.planned
        if one.replaces is not None and one.replaces.tag != one.record_tag
    ]
    if renewed:
        identities.renew_record_tags(connection, renewed, epoch)
    advanced = [_record_key(one) for one in draft.planned if one.replaces is not None]
    if advanced and records.advance_record_keys(connection, advanced) != len(advanced):
        raise ChangedMeanwhileError
    new = [_record_key(one) for one in draft.planned if one.replaces is None]
    records.copy_record_keys(connection, sorted(new, key=attrgetter("tag")), epoch)


def _record_key(planned: Planned) -> RecordKey:
    return RecordKey(
        planned.record_tag,
        planned.record_id,
        planned.period,
        planned.customer_id,
        planned.version,
        planned.row.content_tag,
    )


def _seal(
    custody: Custody,
    batch: Batch,
    planned: Planned,
    keys: Mapping[tuple[UUID, str], DataKey],
    randomness: Randomness,
    stored_at: datetime,
) -> RecordRow:
    key = keys[planned.customer_id, planned.period]
    seals = seal_payloads(
        custody,
        key,
        planned.payloads,
        record_id=planned.record_id,
        customer_id=planned.customer_id,
        dataset=batch.dataset,
        version=planned.version,
        randomness=randomness,
    )
    return RecordRow(
        id=planned.record_id,
        period=planned.period,
        customer_id=planned.customer_id,
        dataset=batch.dataset,
        purpose=batch.purpose,
        namespace=batch.namespace,
        version=planned.version,
        key_id=key.key_id,
        **seals,
        ends_on=planned.ends_on,
        level_raised=planned.level_raised,
        batch_id=batch.id,
        row_number=planned.row.number,
        stored_at=stored_at,
    )


def _search_entries(
    custody: Custody, plans: Mapping[str, Plan], dataset: Dataset, planned: Sequence[Planned]
) -> list[SearchEntry]:
    tags = custody.keyring.tags
    entries = []
    for field, how in searches_of(dataset):
        kind = index_of(dataset.name, field, how)
        tag_of = tags.searches(kind, plans[kind].bits)
        entries += [
            SearchEntry(kind, tag_of(term_of(how, str(value))), one.record_id, one.customer_id)
            for one in planned
            if (value := one.row.values.get(field.number)) is not None
        ]
    return entries
