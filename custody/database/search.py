"""Statements on search indexes: coarse tags of records, and how many bits each index keeps."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.copying import UUID_HEAD, blob, columns, copy_encoded, text_value

_COPY: Final = (
    "COPY custody.search_index (kind, tag, record_id, customer_id) FROM STDIN (FORMAT BINARY)"
)
_COLUMN_COUNT: Final = columns(4)
_CANDIDATES = text(
    "SELECT record_id, customer_id FROM search_index WHERE tag = :tag AND kind = :kind"
)
_DELETE = text("DELETE FROM search_index WHERE record_id = ANY(:ids)")
_ADD_PLANS = text(
    "INSERT INTO search_plans (kind, dataset, bits, complete) SELECT k, :dataset, :bits,"
    " NOT EXISTS (SELECT FROM records WHERE dataset = :dataset)"
    " FROM unnest(CAST(:kinds AS text[])) k ON CONFLICT DO NOTHING"
)
_LEFT_OUT = text(
    "UPDATE search_plans SET complete = false"
    " WHERE dataset = :dataset AND complete AND kind <> ALL(:kinds)"
)
_SHARE_PLANS = text(
    "SELECT kind, bits, complete FROM search_plans WHERE kind = ANY(:kinds) ORDER BY kind FOR SHARE"
)
_LOCK_TIME = text("SET LOCAL lock_timeout = '5s'")
_LOCK_PLAN = text("SELECT bits, complete FROM search_plans WHERE kind = :kind FOR UPDATE")
_SET_PLAN = text("UPDATE search_plans SET bits = :bits, complete = true WHERE kind = :kind")
_LOCK_INDEX = text("LOCK TABLE search_index IN SHARE ROW EXCLUSIVE MODE")
_SIZES = text(
    "SELECT p.kind, p.bits, p.complete, count(s.kind) AS entries FROM search_plans p"
    " LEFT JOIN search_index s USING (kind) GROUP BY p.kind"
)
_SIZE = text("SELECT count(*) FROM search_index WHERE kind = :kind")
_RECORDS = text("SELECT count(*) FROM records WHERE dataset = :dataset")
# Of a dataset that has no record the records would be read to the last.
_ANY_RECORD = text(
    "SELECT EXISTS (SELECT FROM batches WHERE dataset = :dataset)"
    " AND EXISTS (SELECT FROM records WHERE dataset = :dataset)"
)
_PAGE = text(
    "SELECT id FROM records WHERE dataset = :dataset AND id > :after ORDER BY id LIMIT :most"
)
_EMPTY = text("DELETE FROM search_index WHERE kind = :kind")
_SHORTEN = text(
    "UPDATE search_index SET tag ="
    " set_byte(set_byte(tag, 0, get_byte(tag, 0) & :high), 1, get_byte(tag, 1) & :low)"
    " WHERE kind = :kind"
)


class SearchEntry(msgspec.Struct, frozen=True):
    """One coarse search tag of one record."""

    kind: str
    tag: bytes
    record_id: UUID
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How an index is kept.

    Attributes:
        bits: How many bits its tags have.
        complete: Whether it has an entry for every record there is.
    """

    bits: int
    complete: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSize:
    """How an index is kept, and how many entries it has."""

    kind: str
    bits: int
    complete: bool
    entries: int


def copy_search(connection: Connection, entries: Iterable[SearchEntry]) -> None:
    """Write search index entries by binary COPY."""
    copy_encoded(connection, _COPY, map(_encoded, entries))


def _encoded(entry: SearchEntry) -> bytes:
    return b"".join(
        (
            _COLUMN_COUNT,
            text_value(entry.kind),
            blob(entry.tag),
            UUID_HEAD,
            entry.record_id.bytes,
            UUID_HEAD,
            entry.customer_id.bytes,
        )
    )


def delete_search(connection: Connection, ids: Iterable[UUID]) -> None:
    """Delete the search index entries of records."""
    connection.execute(_DELETE, {"ids": list(ids)})


def candidates(connection: Connection, kind: str, tag: bytes) -> list[tuple[UUID, UUID]]:
    """Return candidates (record, customer) for a coarse tag; the caller opens and compares."""
    rows = connection.execute(_CANDIDATES, {"kind": kind, "tag": tag})
    return [(row.record_id, row.customer_id) for row in rows]


def share_plans(
    connection: Connection, dataset: str, kinds: Collection[str], bits: int
) -> dict[str, Plan]:
    """Return how each index of a dataset is kept, and keep that so until the transaction ends.

    Args:
        connection: The data database.
        dataset: The dataset.
        kinds: The indexes that its policy wants; others that it had miss entries from now on.
        bits: How many bits the tags of an index that is new are to have.
    """
    wanted = {"dataset": dataset, "kinds": sorted(kinds), "bits": bits}
    connection.execute(_LEFT_OUT, wanted)
    found = find_plans(connection, kinds)
    if len(found) < len(kinds):
        connection.execute(_ADD_PLANS, wanted)
        found = find_plans(connection, kinds)
    return found


def find_plans(connection: Connection, kinds: Collection[str]) -> dict[str, Plan]:
    """Return how indexes are kept, and keep that so; those never written are missing."""
    rows = connection.execute(_SHARE_PLANS, {"kinds": sorted(kinds)})
    return {row.kind: Plan(bits=row.bits, complete=row.complete) for row in rows}


def index_sizes(connection: Connection) -> list[IndexSize]:
    """Return every index that was ever written, and how large it is."""
    return [IndexSize(**row._mapping) for row in connection.execute(_SIZES)]


def lock_index(connection: Connection, kind: str) -> IndexSize:
    """Wait until nobody writes into indexes, keep everybody from it, and return how one is kept.

    Records are read meanwhile, but not stored or erased; who is about to search waits.

    Raises:
        DatabaseError: Others write all the while (a lock timeout).
    """
    connection.execute(_LOCK_TIME)
    plan = connection.execute(_LOCK_PLAN, {"kind": kind}).one()
    connection.execute(_LOCK_INDEX)
    entries = int(connection.execute(_SIZE, {"kind": kind}).scalar_one())
    return IndexSize(kind=kind, bits=plan.bits, complete=plan.complete, entries=entries)


def set_plan(connection: Connection, kind: str, bits: int) -> None:
    """Say how many bits an index keeps from now on, and that it is complete."""
    connection.execute(_SET_PLAN, {"kind": kind, "bits": bits})


def is_indexable(connection: Connection, dataset: str) -> bool:
    """Whether there is any record of a dataset."""
    return bool(connection.execute(_ANY_RECORD, {"dataset": dataset}).scalar_one())


def count_indexable(connection: Connection, dataset: str) -> int:
    """Return how many records of a dataset there are."""
    return int(connection.execute(_RECORDS, {"dataset": dataset}).scalar_one())


def records_to_index(connection: Connection, dataset: str, after: UUID, most: int) -> list[UUID]:
    """Return up to ``most`` records of a dataset, in order, behind one."""
    where = {"dataset": dataset, "after": after, "most": most}
    return list(connection.execute(_PAGE, where).scalars())


def empty_index(connection: Connection, kind: str) -> None:
    """Take every entry out of an index."""
    connection.execute(_EMPTY, {"kind": kind})


def shorten_tags(connection: Connection, kind: str, mask: bytes) -> None:
    """Keep only those bits of an index's tags that are set in the mask of two bytes."""
    row = {"kind": kind, "high": mask[0], "low": mask[1]}
    connection.execute(_SHORTEN, row)
