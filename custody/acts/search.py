"""Searching by a value: a coarse tag gives candidates, which are opened and compared.

How coarse it is follows the number of entries (:mod:`custody.searching`). An index that the policy
has added, or dropped for a while, is not complete: it is written anew before anybody searches it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.sealing import open_present
from custody.database import records
from custody.database import search as tables
from custody.database.batches import Batch, list_chunks
from custody.database.engine import DatabaseError, transaction
from custody.database.search import SearchEntry
from custody.errors import UsageError
from custody.normalise import identifier_fields, normalise_value
from custody.policy.model import LAST_FOUR, Dataset, Field
from custody.record import RecordRow
from custody.searching import (
    FULL_BITS,
    cut,
    fitting_bits,
    index_of,
    indexes_of,
    require_searchable,
    term_of,
)
from custody.steps import reached

_PAGE: Final = 2000
_SUFFIX: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        customers: Whose records hold the value.
        candidates: How many records shared its tag, and so were opened.
    """

    customers: tuple[UUID, ...]
    candidates: int


def search_customers(
    custody: Custody, actor: Actor, dataset: str, name: str, how: str, value: str
) -> Found:
    """Return whose records hold a value; the ledger notes the search before anything is opened.

    Args:
        custody: The installation.
        actor: Who searches.
        dataset: The dataset.
        name: The field.
        how: One of ``SEARCHES``.
        value: The value, in any form that ingest reads; for ``last_four`` its last four characters.

    Raises:
        UnknownNameError: There is no such dataset or field.
        UsageError: The policy keeps no such index, it is not complete, or the value has not the
            field's form.
        SealInvalidError: A candidate does not open; the place is named.
    """
    described = custody.policy.dataset(dataset)
    field = require_searchable(described, name, how)
    term = _term(custody, described, field, how, value)
    kind = index_of(dataset, field, how)
    with transaction(custody.data) as connection:
        found = _candidates(custody, connection, dataset, kind, term)
        facts = {"index": kind, "candidates": len(found)}
        record(connection, custody, actor, "customer:field:searched", facts)
    reached("search:recorded")
    owners = set[UUID]()
    for start in range(0, len(found), _PAGE):
        page = [record_id for record_id, _ in found[start : start + _PAGE]]
        owners |= _holding(custody, page, field, how, term)
    return Found(customers=tuple(sorted(owners)), candidates=len(found))


def _candidates(
    custody: Custody, connection: Connection, dataset: str, kind: str, term: str
) -> list[tuple[UUID, UUID]]:
    plan = tables.find_plans(connection, [kind]).get(kind)
    if plan is None and not tables.is_indexable(connection, dataset):
        return []
    if plan is None or not plan.complete:
        raise UsageError("the index is not complete; custody customer index writes it", dataset)
    tag = custody.keyring.tags.searches(kind, plan.bits)(term)
    return tables.candidates(connection, kind, tag)


def _term(custody: Custody, dataset: Dataset, field: Field, how: str, value: str) -> str:
    if how == LAST_FOUR:
        # Only fields of digits are searched so; the last of a resident ID may be an X.
        if len(value) != _SUFFIX or not value.isascii():
            raise UsageError("the last four characters are asked for", field.name)
        return value.upper()
    identifier = field.name in identifier_fields(dataset)
    read = normalise_value(field, value, custody.zone, identifier=identifier)
    if read.value is None or read.problems:
        raise UsageError("not the form of the field", field.name)
    return term_of(how, str(read.value))


def _holding(
    custody: Custody, candidates: Sequence[UUID], field: Field, how: str, term: str
) -> set[UUID]:
    """Return whose of the candidates hold the term."""

    def read() -> list[RecordRow]:
        with transaction(custody.data) as connection:
            return records.records_by_id(connection, candidates)

    return {
        one.row.customer_id
        for one in open_present(custody, read)
        if (held := one.values(custody).get(field.name)) is not None
        and term_of(how, str(held)) == term
    }


def prepare_indexes(custody: Custody, actor: Actor, batch: Batch) -> int:
    """Make indexes fit for what a batch is about to bring; return how many got other tags.

    Done before, this concerns the entries there are; afterwards it would concern all.
    """
    with transaction(custody.data) as connection:
        receipts = list_chunks(connection, batch.id)
    coming = sum(one.accepted for one in receipts if one.state != "stored")
    return fit_indexes(custody, actor, {batch.dataset: coming})


def fit_indexes(custody: Custody, actor: Actor, coming: Mapping[str, int] | None = None) -> int:
    """Give every index that is incomplete, too fine or too coarse other tags; return how many.

    Indexes that the policy has dropped stay as they are, and so does one that others write into
    all the while: the next run comes to it.

    Args:
        custody: The installation.
        actor: Who has it done.
        coming: How many records are about to be added, by dataset.

    Raises:
        SealInvalidError: A record to be indexed does not open; the index stays as it is.
    """
    wanted = {
        index_of(dataset.name, field, how): (dataset, field, how)
        for dataset in custody.policy.datasets.values()
        for field in dataset.fields
        for how in field.search
    }
    with transaction(custody.data) as connection:
        for dataset in custody.policy.datasets.values():
            if tables.is_indexable(connection, dataset.name):
                tables.share_plans(connection, dataset.name, indexes_of(dataset), 0)
        sizes = tables.index_sizes(connection)
    more = {kind: (coming or {}).get(wanted[kind][0].name, 0) for kind in wanted}
    ill = [one.kind for one in sizes if one.kind in wanted and _is_ill(one, more[one.kind])]
    return sum(_fit(custody, actor, kind, *wanted[kind], more[kind]) for kind in ill)


def _is_ill(index: tables.IndexSize, coming: int) -> bool:
    return not index.complete or fitting_bits(index.entries + coming, index.bits) != index.bits


def _fit(  # noqa: PLR0913 - an index and what it is to hold
    custody: Custody,
    actor: Actor,
    kind: str,
    dataset: Dataset,
    field: Field,
    how: str,
    coming: int,
) -> bool:
    try:
        with transaction(custody.data) as connection:
            before = tables.lock_index(connection, kind)
            if not _is_ill(before, coming):
                return False
            bits = fitting_bits(before.entries + coming, before.bits)
            if before.complete and bits < before.bits:
                tables.shorten_tags(connection, kind, cut(bytes([255, 255]), bits))
            else:
                held = tables.count_indexable(connection, dataset.name)
                bits = fitting_bits(held + coming, FULL_BITS)
                tables.empty_index(connection, kind)
                for entries in _entries(custody, connection, dataset, field, how, bits):
                    tables.copy_search(connection, entries)
            tables.set_plan(connection, kind, bits)
            facts = {"index": kind, "bits": bits}
            record(connection, custody, actor, "search:index:fitted", facts)
    except DatabaseError as error:
        if not error.is_lock_timeout:
            raise
        return False
    reached("search:fitted")
    return True


def _entries(
    custody: Custody,
    connection: Connection,
    dataset: Dataset,
    field: Field,
    how: str,
    bits: int,
) -> Iterator[list[SearchEntry]]:
    """Yield the entries of an index, page by page, for all records of its dataset."""
    kind, after = index_of(dataset.name, field, how), UUID(int=0)
    tag_of = custody.keyring.tags.searches(kind, bits)
    while ids := tables.records_to_index(connection, dataset.name, after, _PAGE):
        opened = open_present(custody, partial(records.records_by_id, connection, ids))
        held = [(one.row, one.values(custody).get(field.name)) for one in opened]
        yield [
            SearchEntry(kind, tag_of(term_of(how, str(value))), row.id, row.customer_id)
            for row, value in held
            if value is not None
        ]
        after = ids[-1]
