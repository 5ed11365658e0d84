"""Statements on search indexes: coarse tags of records, and how many bits each index keeps."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Blobs
from custody.database.copying import copy_rows

_COPY: Final = (
    "COPY custody.search_index (kind, tag, record_id, customer_id) FROM STDIN (FORMAT BINARY)"
)
_CANDIDATES = text(
    "SELECT record_id, customer_id FROM search_index WHERE tag = :tag AND kind = :kind"
)
_DELETE = text("DELETE FROM search_index WHERE record_id = ANY(:ids)")
_ADD_PLANS = text(
    "INSERT INTO search_plans (kind) SELECT unnest(CAST(:kinds AS text[])) ON CONFLICT DO NOTHING"
)
_SHARE_PLANS = text(
    "SELECT kind, bits FROM search_plans WHERE kind = ANY(:kinds) ORDER BY kind FOR SHARE"
)
_LOCK_PLAN = text("SELECT bits FROM search_plans WHERE kind = :kind FOR UPDATE")
_SET_PLAN = text("UPDATE search_plans SET bits = :bits WHERE kind = :kind")
_LOCK_INDEX = text("LOCK TABLE search_index IN SHARE ROW EXCLUSIVE MODE")
_COUNT = text("SELECT kind, count(*) AS entries FROM search_index GROUP BY kind")
_PLANS = text("SELECT kind, bits FROM search_plans")
_PAGE = text(
    "SELECT record_id FROM search_index WHERE kind = :kind AND record_id > :after"
    " ORDER BY record_id LIMIT :most"
)
_SHORTEN = text(
    "UPDATE search_index SET tag ="
    " set_byte(set_byte(tag, 0, get_byte(tag, 0) & :high), 1, get_byte(tag, 1) & :low)"
    " WHERE kind = :kind"
)
_PUT = text(
    "UPDATE search_index s SET tag = w.tag"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:tags AS bytea[])) w (id, tag)"
    " WHERE s.kind = :kind AND s.record_id = w.id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchEntry:
    """One coarse search tag of one record."""

    kind: str
    tag: bytes
    record_id: UUID
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSize:
    """How many entries an index has, and how many bits their tags."""

    kind: str
    entries: int
    bits: int


def copy_search(connection: Connection, entries: Iterable[SearchEntry]) -> None:
    """Write search index entries by binary COPY."""
    rows = ((e.kind, e.tag, e.record_id, e.customer_id) for e in entries)
    copy_rows(connection, _COPY, ["text", "bytea", "uuid", "uuid"], rows)


def delete_search(connection: Connection, ids: Iterable[UUID]) -> None:
    """Delete the search index entries of records."""
    connection.execute(_DELETE, {"ids": list(ids)})


def candidates(connection: Connection, kind: str, tag: bytes) -> list[tuple[UUID, UUID]]:
    """Return candidates (record, customer) for a coarse tag; the caller opens and compares."""
    rows = connection.execute(_CANDIDATES, {"kind": kind, "tag": tag})
    return [(row.record_id, row.customer_id) for row in rows]


def share_plans(connection: Connection, kinds: Collection[str]) -> dict[str, int]:
    """Return how many bits each index keeps, and keep that so until the transaction ends."""
    if not kinds:
        return {}
    wanted = {"kinds": sorted(kinds)}
    connection.execute(_ADD_PLANS, wanted)
    return {row.kind: row.bits for row in connection.execute(_SHARE_PLANS, wanted)}


def index_sizes(connection: Connection) -> list[IndexSize]:
    """Return every index that was ever written, with its entries and bits."""
    counts = {row.kind: row.entries for row in connection.execute(_COUNT)}
    return [
        IndexSize(kind=row.kind, entries=counts.get(row.kind, 0), bits=row.bits)
        for row in connection.execute(_PLANS)
    ]


def lock_index(connection: Connection, kind: str) -> int:
    """Wait until nobody writes into indexes, keep everybody from it, and return an index's bits.

    Readers go on; who is about to look one up waits.
    """
    bits = int(connection.execute(_LOCK_PLAN, {"kind": kind}).scalar_one())
    connection.execute(_LOCK_INDEX)
    return bits


def set_bits(connection: Connection, kind: str, bits: int) -> None:
    """Say how many bits an index keeps from now on."""
    connection.execute(_SET_PLAN, {"kind": kind, "bits": bits})


def indexed_after(connection: Connection, kind: str, after: UUID, most: int) -> list[UUID]:
    """Return up to ``most`` records that an index has, in order, behind one."""
    where = {"kind": kind, "after": after, "most": most}
    return list(connection.execute(_PAGE, where).scalars())


def shorten_tags(connection: Connection, kind: str, mask: bytes) -> None:
    """Keep only those bits of an index's tags that are set in the mask of two bytes."""
    row = {"kind": kind, "high": mask[0], "low": mask[1]}
    connection.execute(_SHORTEN, row)


def put_tags(connection: Connection, kind: str, tags: Mapping[UUID, bytes]) -> None:
    """Give records other tags in an index."""
    row = {"kind": kind, "ids": list(tags), "tags": Blobs(tags.values())}
    connection.execute(_PUT, row)
