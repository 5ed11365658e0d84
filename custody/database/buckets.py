"""Statements on buckets: the generation that wraps the keys of a slice of an expiry period."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import BareUuids, Blobs
from custody.database.copying import fetch

_BUCKETS = text(
    "SELECT period, slice, generation FROM buckets WHERE period = ANY(:periods)"
    " AND closed_at IS NULL ORDER BY period, slice FOR SHARE"
)
_ADD_BUCKETS = text(
    "INSERT INTO buckets (period, slice, kek_id, opened_at)"
    " SELECT :period, s, gen_random_uuid(), :at FROM unnest(CAST(:slices AS smallint[])) s"
    " ON CONFLICT DO NOTHING"
)
_DIRTY = text(
    "WITH locked AS (SELECT period, slice FROM buckets WHERE (period, slice) IN"
    "  (SELECT period, slice FROM data_keys WHERE key_id = ANY(:ids) AND retired)"
    "  ORDER BY period, slice FOR NO KEY UPDATE)"
    " UPDATE buckets b SET dirty_at = coalesce(b.dirty_at, :at) FROM locked l"
    " WHERE (b.period, b.slice) = (l.period, l.slice) AND b.closed_at IS NULL"
)
_BUCKETS_TO_TURN = text(
    "SELECT period, slice, generation FROM buckets WHERE closed_at IS NULL"
    " AND (:everything OR dirty_at IS NOT NULL) ORDER BY period, slice"
)
_EVERY_BUCKET = text(
    "SELECT period, slice, generation, dirty_at, closed_at FROM buckets ORDER BY period, slice"
)
_COUNT_BUCKETS = text(
    "SELECT b.period, count(*) AS buckets, count(b.dirty_at) AS dirty,"
    " count(b.closed_at) AS closed, coalesce(sum(k.keys), 0)::bigint AS keys FROM buckets b"
    " LEFT JOIN (SELECT period, slice, count(*) AS keys FROM data_keys GROUP BY period, slice) k"
    " USING (period, slice) GROUP BY b.period ORDER BY b.period"
)
_CLOSE_BUCKETS = text(
    "WITH locked AS (SELECT period, slice FROM buckets WHERE period = :period"
    "  ORDER BY slice FOR NO KEY UPDATE)"
    " UPDATE buckets b SET closed_at = coalesce(b.closed_at, :at), dirty_at = NULL FROM locked l"
    " WHERE (b.period, b.slice) = (l.period, l.slice)"
)
_DELETE_KEYS = text(
    "DELETE FROM data_keys WHERE key_id IN"
    " (SELECT key_id FROM data_keys WHERE period = :period ORDER BY key_id LIMIT :most FOR UPDATE)"
)
_IS_CLOSED = text(
    "SELECT EXISTS (SELECT FROM buckets WHERE period = :period AND closed_at IS NOT NULL)"
)
_LOCK_BUCKET = text(
    "SELECT generation FROM buckets WHERE period = :period AND slice = :slice"
    " AND closed_at IS NULL FOR UPDATE"
)
_KEYS_OF_BUCKET: Final = (
    "SELECT uuid_send(key_id), uuid_send(customer_id), wrapped FROM data_keys"
    " WHERE period = %(period)s AND slice = %(slice)s ORDER BY key_id"
)
_REWRAP = text(
    "UPDATE data_keys d SET wrapped = w.wrapped, generation = :generation"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:wrapped AS bytea[])) w (id, wrapped)"
    " WHERE d.key_id = w.id"
)
_ADVANCE_BUCKET = text(
    "UPDATE buckets SET generation = :generation, dirty_at = NULL"
    " WHERE period = :period AND slice = :slice"
)


# Id, customer and wrapped bytes; identifiers as bytes, for a turn has as many as there are keys.
BareKey: TypeAlias = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """The keys of one slice of an expiry period, and the generation that wraps them.

    Attributes:
        dirty_at: Since when a deleted key may still be opened; None where none was deleted.
        closed_at: When its key-encryption keys were destroyed for good.
    """

    period: str
    slice: int
    generation: int
    dirty_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketCount:
    """The buckets of one expiry period, and the keys in them."""

    period: str
    buckets: int
    dirty: int
    closed: int
    keys: int


def share_buckets(connection: Connection, periods: Iterable[str]) -> dict[tuple[str, int], int]:
    """Lock the buckets of the periods against a turn and return their generations."""
    rows = connection.execute(_BUCKETS, {"periods": sorted(periods)})
    return {(row.period, row.slice): row.generation for row in rows}


def add_buckets(connection: Connection, period: str, slices: Sequence[int], at: datetime) -> None:
    """Add the buckets of a period that are not there yet."""
    connection.execute(_ADD_BUCKETS, {"period": period, "slices": list(slices), "at": at})


def mark_dirty(connection: Connection, ids: Iterable[UUID], at: datetime) -> None:
    """Mark the buckets of retired keys that are about to be deleted; they are locked in order.

    Copies of the rows may lie about, and the key-encryption key still opens them.
    """
    connection.execute(_DIRTY, {"ids": list(ids), "at": at})


def buckets_to_turn(connection: Connection, *, everything: bool) -> list[tuple[str, int, int]]:
    """Return period, slice and generation of the dirty buckets, or of all that are open."""
    rows = connection.execute(_BUCKETS_TO_TURN, {"everything": everything})
    return [(row.period, row.slice, row.generation) for row in rows]


def every_bucket(connection: Connection) -> list[Bucket]:
    """Return every bucket, in order of period and slice."""
    return [Bucket(**row._mapping) for row in connection.execute(_EVERY_BUCKET)]


def count_buckets(connection: Connection) -> list[BucketCount]:
    """Return the buckets and keys of every expiry period, in counts."""
    return [BucketCount(**row._mapping) for row in connection.execute(_COUNT_BUCKETS)]


def lock_bucket(connection: Connection, period: str, place: int) -> int | None:
    """Lock a bucket against new keys and return its generation, None where it is closed."""
    where = {"period": period, "slice": place}
    found: int | None = connection.execute(_LOCK_BUCKET, where).scalar_one_or_none()
    return found


def keys_of_bucket(connection: Connection, period: str, place: int) -> list[BareKey]:
    """Return every key of a bucket, retired ones too."""
    rows = fetch(connection, _KEYS_OF_BUCKET, {"period": period, "slice": place})
    return [(own, customer, wrapped) for own, customer, wrapped in rows]


def rewrap_keys(
    connection: Connection, ids: Sequence[bytes], wrapped: Sequence[bytes], generation: int
) -> int:
    """Put other wrapped bytes, of another generation, in the place of the keys' own."""
    row = {"ids": BareUuids(ids), "wrapped": Blobs(wrapped), "generation": generation}
    return connection.execute(_REWRAP, row).rowcount


def advance_bucket(connection: Connection, period: str, place: int, generation: int) -> None:
    """Give a bucket its next generation; it is clean from then on."""
    row = {"period": period, "slice": place, "generation": generation}
    connection.execute(_ADVANCE_BUCKET, row)


def close_buckets(connection: Connection, period: str, at: datetime) -> int:
    """Close a period's buckets: no key is made in them any more; they are locked in order.

    Returns:
        How many there are, closed now or before.
    """
    return connection.execute(_CLOSE_BUCKETS, {"period": period, "at": at}).rowcount


def delete_keys_of_period(connection: Connection, period: str, most: int) -> int:
    """Delete up to ``most`` data keys of a period and return how many there were."""
    return connection.execute(_DELETE_KEYS, {"period": period, "most": most}).rowcount


def is_closed(connection: Connection, period: str) -> bool:
    """Whether the keys of a period are destroyed, or about to be."""
    return bool(connection.execute(_IS_CLOSED, {"period": period}).scalar_one())
