"""Searching by a value: a coarse tag gives candidates, which are opened and compared.

How coarse it is follows the number of entries (:mod:`custody.searching`). Where it no longer fits,
the tags of that index are written anew, by whoever stored last.
"""

from collections.abc import Iterator
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
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.normalise import normalise_value
from custody.policy.model import Field
from custody.record import RecordRow
from custody.searching import (
    LAST_FOUR,
    cut,
    fitting_bits,
    index_of,
    indexes_of,
    require_searchable,
    term_of,
)
from custody.steps import reached

_PAGE: Final = 2000
_SUFFIX_DIGITS: Final = 4


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
        value: The value, in any form that ingest reads; for ``last_four`` its last four digits.

    Raises:
        UnknownNameError: There is no such dataset or field.
        UsageError: The policy keeps no such index, or the value has not the field's form.
        SealInvalidError: A candidate does not open; the place is named.
    """
    field = require_searchable(custody.policy.dataset(dataset), name, how)
    term = _term(custody, field, how, value)
    kind = index_of(dataset, name, how)
    with transaction(custody.data) as connection:
        bits = tables.share_plans(connection, [kind])[kind]
        tag = cut(custody.keyring.tags.search(kind, term), bits)
        found = tables.candidates(connection, kind, tag)
        facts = {"index": kind, "candidates": len(found)}
        record(connection, custody, actor, "customer:field:searched", facts)
    reached("search:recorded")
    owners = _holding(custody, [record_id for record_id, _ in found], field, how, term)
    return Found(customers=tuple(sorted(owners)), candidates=len(found))


def _term(custody: Custody, field: Field, how: str, value: str) -> str:
    if how == LAST_FOUR:
        if not (len(value) == _SUFFIX_DIGITS and value.isascii() and value.isalnum()):
            raise UsageError("the last four characters are asked for", field.name)
        return value.upper()
    read = normalise_value(field, value, custody.zone, identifier=True)
    if read.value is None or read.problems:
        raise UsageError("not the form of the field", field.name)
    return term_of(how, str(read.value))


def _holding(
    custody: Custody, candidates: list[UUID], field: Field, how: str, term: str
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


def fit_indexes(custody: Custody, actor: Actor) -> int:
    """Give every index whose tags are too long or too short others; return how many there were.

    Indexes that the policy has dropped stay as they are.
    """
    known = {kind for dataset in custody.policy.datasets.values() for kind in indexes_of(dataset)}
    with transaction(custody.data) as connection:
        sizes = [one for one in tables.index_sizes(connection) if one.kind in known]
    ill = [one.kind for one in sizes if fitting_bits(one.entries, one.bits) != one.bits]
    return sum(_fit(custody, actor, kind) for kind in ill)


def _fit(custody: Custody, actor: Actor, kind: str) -> bool:
    with transaction(custody.data) as connection:
        before = tables.lock_index(connection, kind)
        entries = next(one.entries for one in tables.index_sizes(connection) if one.kind == kind)
        bits = fitting_bits(entries, before)
        if bits == before:
            return False
        if bits < before:
            tables.shorten_tags(connection, kind, cut(bytes(2 * [255]), bits))
        else:
            for tags in _tags_anew(custody, connection, kind, bits):
                tables.put_tags(connection, kind, tags)
        tables.set_bits(connection, kind, bits)
        facts = {"index": kind, "bits": bits, "entries": entries}
        record(connection, custody, actor, "search:index:fitted", facts)
    reached("search:fitted")
    return True


def _tags_anew(
    custody: Custody, connection: Connection, kind: str, bits: int
) -> Iterator[dict[UUID, bytes]]:
    """Yield the tags of an index, of so many bits, by record and page by page."""
    field, _, how = kind.partition(":")
    name = field.rpartition(".")[2]
    after = UUID(int=0)
    while ids := tables.indexed_after(connection, kind, after, _PAGE):
        opened = open_present(custody, partial(records.records_by_id, connection, ids))
        values = {one.row.id: one.values(custody).get(name) for one in opened}
        yield {
            record_id: cut(custody.keyring.tags.search(kind, term_of(how, str(value))), bits)
            for record_id, value in values.items()
            if value is not None
        }
        after = ids[-1]
