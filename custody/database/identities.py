"""Statements on identity tags: whose they are, and how they are renewed.

One row says of which **epoch** tags are written. Whoever writes some shares a lock until the end of
the transaction; whoever begins the next epoch takes it alone, and so waits for all of those. From
then on nobody writes a tag of the one before, and those there are made anew page by page. A page
takes no row that somebody else has locked: it never waits for an erasure, nor an erasure long.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Uuids
from custody.database.copying import (
    UUID_HEAD,
    blob,
    bool_value,
    columns,
    copy_encoded,
    fetch,
    int_value,
    text_value,
)
from custody.database.sealed import suite_in
from custody.suites import Suite

_LOCK: Final = 0x637573_06  # "cus" 6: no epoch begins while tags are written
_SHARE: Final = text("SELECT pg_advisory_xact_lock_shared(:lock)")
_ALONE: Final = text("SELECT pg_advisory_xact_lock(:lock)")
_STATE = text("SELECT epoch, began_at FROM identity_epoch")
_ARE_EARLIER: Final = (
    "(EXISTS (SELECT FROM identity_tags WHERE epoch < :epoch)"
    " OR EXISTS (SELECT FROM record_keys WHERE epoch < :epoch))"
)
_NEXT_EPOCH = text(
    "UPDATE identity_epoch SET epoch = epoch + 1, began_at = :at"  # noqa: S608 - our own names
    f" WHERE epoch = :epoch AND NOT {_ARE_EARLIER}"
)
_HAS_EARLIER = text(f"SELECT {_ARE_EARLIER}")
_COUNT_EARLIER = text(
    "SELECT (SELECT count(*) FROM identity_tags WHERE epoch < :epoch)"
    " + (SELECT count(*) FROM record_keys WHERE epoch < :epoch)"
)
_BY_TAG: Final = "SELECT tag, customer_id FROM identity_tags WHERE tag = ANY(%(tags)s)"
_SINGLE: Final = (
    "SELECT customer_id, reference, tag FROM identity_tags"
    " WHERE customer_id = ANY(%(customers)s) AND single"
)
_COPY_TAGS: Final = (
    "COPY custody.identity_tags (tag, customer_id, reference, single, key_id, sealed, epoch)"
    " FROM STDIN (FORMAT BINARY)"
)
_TAG_COLUMNS: Final = columns(7)
# Each of the two indexes by customer has some of the tags.
_OF_CUSTOMERS: Final = (
    "(single AND customer_id = ANY(:customers) OR NOT single AND customer_id = ANY(:customers))"
)
_COLUMNS: Final = "tag, customer_id, reference, key_id, sealed, epoch"
_DELETE_TAGS = text(
    f"DELETE FROM identity_tags WHERE {_OF_CUSTOMERS} RETURNING {_COLUMNS}"  # noqa: S608
)
_TAGS_LEFT = text(f"SELECT count(*) FROM identity_tags WHERE {_OF_CUSTOMERS}")  # noqa: S608
_EVERY = text(f"SELECT {_COLUMNS} FROM identity_tags ORDER BY tag")  # noqa: S608
_IS_STILL = text("SELECT EXISTS (SELECT FROM identity_tags WHERE tag = :tag AND sealed = :sealed)")
_PAGE: Final = f"SELECT {_COLUMNS} FROM identity_tags WHERE tag > %(after)s"  # noqa: S608
_LOCKED: Final = " ORDER BY tag LIMIT %(most)s FOR UPDATE SKIP LOCKED"
_SUITE: Final = suite_in("sealed", "key_id")
_TO_SEAL: Final = f"{_PAGE} AND {_SUITE} <> %(suite)s{_LOCKED}"
_TO_TAG: Final = f"{_PAGE} AND epoch < %(epoch)s{_LOCKED}"
_COUNT_TO_SEAL = text(f"SELECT count(*) FROM identity_tags WHERE {_SUITE} <> :suite")  # noqa: S608
_SEAL = text(
    "UPDATE identity_tags t SET sealed = w.sealed FROM"
    " unnest(CAST(:tags AS bytea[]), CAST(:sealed AS bytea[])) w (tag, sealed) WHERE t.tag = w.tag"
)
_TAG = text(
    "UPDATE identity_tags t SET tag = w.new, epoch = :epoch FROM"
    " unnest(CAST(:tags AS bytea[]), CAST(:new AS bytea[])) w (tag, new) WHERE t.tag = w.tag"
)
_RECORDS_TO_TAG: Final = (
    "SELECT tag, record_id FROM record_keys WHERE tag > %(after)s AND epoch < %(epoch)s"
    " ORDER BY tag LIMIT %(most)s"
)
_LOCK_RECORD_KEYS = text(
    "SELECT tag FROM record_keys WHERE tag = ANY(:tags) ORDER BY tag FOR UPDATE SKIP LOCKED"
)
_TAG_RECORDS = text(
    "UPDATE record_keys k SET tag = w.new, epoch = :epoch FROM unnest(CAST(:tags AS bytea[]),"
    " CAST(:new AS bytea[])) w (tag, new) WHERE k.tag = w.tag"
)
_STREAMED: Final = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """Of which epoch tags are written, and since when."""

    epoch: int
    began_at: datetime


class IdentityTag(msgspec.Struct, frozen=True, kw_only=True):
    """One subject reference of one customer, as a tag, with the reference sealed beside it."""

    tag: bytes
    customer_id: UUID
    reference: str
    single: bool
    key_id: UUID
    sealed: bytes


class SealedReference(msgspec.Struct, frozen=True):
    """The reference that lies sealed beside a tag, and of which epoch the tag is."""

    tag: bytes
    customer_id: UUID
    reference: str
    key_id: UUID
    sealed: bytes
    epoch: int


def read_epoch(connection: Connection) -> Epoch:
    """Return of which epoch tags are written now."""
    return Epoch(**connection.execute(_STATE).one()._mapping)


def share_epoch(connection: Connection) -> Epoch:
    """Return the same, and keep the next one from beginning until this transaction ends."""
    connection.execute(_SHARE, {"lock": _LOCK})
    return read_epoch(connection)


def begin_epoch(connection: Connection, ending: int, at: datetime) -> bool:
    """Begin the epoch behind ``ending``, once nobody writes tags of that one.

    Returns:
        False where somebody else has, or tags of an epoch before it are still there.
    """
    connection.execute(_ALONE, {"lock": _LOCK})
    return connection.execute(_NEXT_EPOCH, {"epoch": ending, "at": at}).rowcount == 1


def has_earlier(connection: Connection, epoch: int) -> bool:
    """Whether there are tags, of references or records, of an earlier epoch."""
    return bool(connection.execute(_HAS_EARLIER, {"epoch": epoch}).scalar_one())


def count_earlier(connection: Connection, epoch: int) -> int:
    """Return how many tags, of references and of records, are of an earlier epoch."""
    return int(connection.execute(_COUNT_EARLIER, {"epoch": epoch}).scalar_one())


def customers_by_tag(connection: Connection, tags: Iterable[bytes]) -> dict[bytes, UUID]:
    """Return whose tag each known one of ``tags`` is."""
    return dict(fetch(connection, _BY_TAG, {"tags": Blobs(tags)}))


def single_tags(connection: Connection, customers: Iterable[UUID]) -> dict[tuple[UUID, str], bytes]:
    """Return the one tag of each single-valued reference that the customers have."""
    rows = fetch(connection, _SINGLE, {"customers": Uuids(customers)})
    return {(customer, reference): tag for customer, reference, tag in rows}


def copy_tags(connection: Connection, tags: Iterable[IdentityTag], epoch: int) -> None:
    """Add identity tags of an epoch by binary COPY, in the connection's transaction.

    Raises:
        UniqueViolation: One is there already: the transaction is over.
    """
    number = int_value(epoch)

    def encoded(one: IdentityTag) -> bytes:
        return b"".join(
            (
                _TAG_COLUMNS,
                blob(one.tag),
                UUID_HEAD,
                one.customer_id.bytes,
                text_value(one.reference),
                bool_value(one.single),
                UUID_HEAD,
                one.key_id.bytes,
                blob(one.sealed),
                number,
            )
        )

    copy_encoded(connection, _COPY_TAGS, map(encoded, tags))


def delete_tags(connection: Connection, ids: Iterable[UUID]) -> list[SealedReference]:
    """Delete every identity tag of the customers and return what lay beside them."""
    rows = connection.execute(_DELETE_TAGS, {"customers": list(ids)})
    return [SealedReference(*row) for row in rows]


def count_tags(connection: Connection, ids: Iterable[UUID]) -> int:
    """Return how many identity tags the customers have."""
    return int(connection.execute(_TAGS_LEFT, {"customers": list(ids)}).scalar_one())


def every_reference(connection: Connection) -> Iterator[list[SealedReference]]:
    """Yield all references page by page, as they were when this began."""
    rows = connection.execution_options(yield_per=_STREAMED).execute(_EVERY)
    for page in rows.partitions():
        yield [SealedReference(*row) for row in page]


def is_still(connection: Connection, one: SealedReference) -> bool:
    """Whether a reference lies beside its tag as it did."""
    where = {"tag": one.tag, "sealed": one.sealed}
    return bool(connection.execute(_IS_STILL, where).scalar_one())


def references_to_seal(
    connection: Connection, after: bytes, most: int, suite: Suite
) -> list[SealedReference]:
    """Return, locked, the next references that are not under the suite."""
    where = {"after": after, "most": most, "suite": suite.number}
    return [SealedReference(*row) for row in fetch(connection, _TO_SEAL, where)]


def count_to_seal(connection: Connection, suite: Suite) -> int:
    """Return how many references are not under the suite."""
    return int(connection.execute(_COUNT_TO_SEAL, {"suite": suite.number}).scalar_one())


def put_sealed(connection: Connection, changes: Sequence[tuple[bytes, bytes]]) -> None:
    """Put other seals beside tags that the caller has locked: pairs of tag and seal."""
    tags, seals = Blobs(tag for tag, _ in changes), Blobs(sealed for _, sealed in changes)
    connection.execute(_SEAL, {"tags": tags, "sealed": seals})


def references_to_tag(
    connection: Connection, after: bytes, most: int, epoch: int
) -> list[SealedReference]:
    """Return, locked, the next references whose tags are of an earlier epoch."""
    where = {"after": after, "most": most, "epoch": epoch}
    return [SealedReference(*row) for row in fetch(connection, _TO_TAG, where)]


def put_tags(connection: Connection, changes: Sequence[tuple[bytes, bytes]], epoch: int) -> None:
    """Put other tags in the place of tags that the caller has locked: pairs of old and new."""
    connection.execute(_TAG, {**_pairs(changes), "epoch": epoch})


def records_to_tag(
    connection: Connection, after: bytes, most: int, epoch: int
) -> list[tuple[bytes, UUID]]:
    """Return tag and record of the next records whose own tags are of an earlier epoch."""
    rows = fetch(connection, _RECORDS_TO_TAG, {"after": after, "most": most, "epoch": epoch})
    return [(tag, record) for tag, record in rows]


def lock_record_tags(connection: Connection, tags: Iterable[bytes]) -> set[bytes]:
    """Lock records' own tags, but for those that somebody else has locked, and return them."""
    rows = connection.execute(_LOCK_RECORD_KEYS, {"tags": Blobs(tags)})
    return {bytes(tag) for tag in rows.scalars()}


def renew_record_tags(
    connection: Connection, changes: Sequence[tuple[bytes, bytes]], epoch: int
) -> int:
    """Put other tags in the place of records' own, old and new in pairs; return how many."""
    return connection.execute(_TAG_RECORDS, {**_pairs(changes), "epoch": epoch}).rowcount


def _pairs(changes: Sequence[tuple[bytes, bytes]]) -> dict[str, Blobs]:
    return {"tags": Blobs(old for old, _ in changes), "new": Blobs(new for _, new in changes)}
