"""Statements on identity tags: whose they are, and the renewal of tags and of what seals them.

One row says under which epoch tags are made and under which generation the references beside them
are sealed. Whoever writes a tag shares that row until the end of the transaction; whoever begins
the next epoch or generation changes it, and so waits for all of those. From then on nobody writes
anything of the one before, and what is left of it is taken over page by page. A page takes no row
that somebody else has locked, so that it never waits for an erasure, nor an erasure long for it.
"""

from collections.abc import Collection, Iterable, Sequence
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
from custody.suites import Suite

_STATE: Final = "SELECT epoch, began_at, generation FROM identity_keys"
_READ_STATE = text(_STATE)
_SHARE_STATE = text(f"{_STATE} FOR SHARE")
_NEXT_EPOCH = text(
    "UPDATE identity_keys SET epoch = epoch + 1, began_at = :at WHERE epoch = :ending"
)
_NEXT_GENERATION = text(
    "UPDATE identity_keys SET generation = generation + 1 WHERE generation = :ending"
)
_BY_TAG: Final = "SELECT tag, customer_id FROM identity_tags WHERE tag = ANY(%(tags)s)"
_SINGLE: Final = (
    "SELECT customer_id, reference, tag FROM identity_tags"
    " WHERE customer_id = ANY(%(customers)s) AND single"
)
_COPY_TAGS: Final = (
    "COPY custody.identity_tags (tag, customer_id, reference, single, sealed, epoch, generation)"
    " FROM STDIN (FORMAT BINARY)"
)
_TAG_COLUMNS: Final = columns(7)
# Each of the two indexes by customer has some of the tags.
_OF_CUSTOMERS: Final = (
    "(single AND customer_id = ANY(:customers) OR NOT single AND customer_id = ANY(:customers))"
)
_COLUMNS: Final = "tag, customer_id, reference, sealed, generation, epoch"
_DELETE_TAGS = text(
    f"DELETE FROM identity_tags WHERE {_OF_CUSTOMERS} RETURNING {_COLUMNS}"  # noqa: S608
)
_MARK_DIRTY = text("INSERT INTO identity_dirt DEFAULT VALUES")
_CLEAN = text("DELETE FROM identity_dirt")
_IS_DIRTY = text("SELECT EXISTS (SELECT FROM identity_dirt)")
_TAGS_LEFT = text(f"SELECT count(*) FROM identity_tags WHERE {_OF_CUSTOMERS}")  # noqa: S608
_PAGE: Final = f"SELECT {_COLUMNS} FROM identity_tags WHERE tag > %(after)s"  # noqa: S608
_LAST: Final = " ORDER BY tag LIMIT %(most)s"
_LOCKED: Final = f"{_LAST} FOR UPDATE SKIP LOCKED"
_STALE_SEALS: Final = "(generation < {generation} OR get_byte(sealed, 1) <> {suite})"
_TO_SEAL: Final = (
    f"{_PAGE} AND {_STALE_SEALS.format(generation='%(generation)s', suite='%(suite)s')}{_LOCKED}"
)
_TO_TAG: Final = f"{_PAGE} AND epoch < %(epoch)s{_LOCKED}"
_SEAL = text(
    "UPDATE identity_tags t SET sealed = w.sealed, generation = :generation FROM"
    " unnest(CAST(:tags AS bytea[]), CAST(:sealed AS bytea[])) w (tag, sealed) WHERE t.tag = w.tag"
)
_TAG = text(
    "UPDATE identity_tags t SET tag = w.new, epoch = :epoch FROM"
    " unnest(CAST(:tags AS bytea[]), CAST(:new AS bytea[])) w (tag, new) WHERE t.tag = w.tag"
)
_LEFT_TO_SEAL = text(
    "SELECT count(*) FROM identity_tags"  # noqa: S608 - our own names
    f" WHERE {_STALE_SEALS.format(generation=':generation', suite=':suite')}"
)
_LEFT_TO_TAG = text(
    "SELECT (SELECT count(*) FROM identity_tags WHERE epoch < :epoch)"
    " + (SELECT count(*) FROM record_keys WHERE epoch < :epoch)"
)
_COUNT_SEALS = text(
    "SELECT generation, get_byte(sealed, 1) AS suite, count(*) AS seals FROM identity_tags"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)
_STRAY = text(
    "SELECT customer_id, generation, get_byte(sealed, 1) AS suite FROM identity_tags"
    " WHERE get_byte(sealed, 1) <> :suite OR generation = ANY(:keyless)"
    " ORDER BY customer_id, tag LIMIT :most"
)
_RECORDS_TO_TAG: Final = (
    f"SELECT tag, record_id FROM record_keys WHERE tag > %(after)s AND epoch < %(epoch)s{_LAST}"  # noqa: S608
)
_LOCK_RECORD_KEYS = text(
    "SELECT tag FROM record_keys WHERE tag = ANY(:tags) ORDER BY tag FOR UPDATE SKIP LOCKED"
)
_TAG_RECORDS = text(
    "UPDATE record_keys k SET tag = w.new, epoch = :epoch FROM unnest(CAST(:tags AS bytea[]),"
    " CAST(:new AS bytea[])) w (tag, new) WHERE k.tag = w.tag"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityState:
    """Under which epoch tags are made, since when, and how the references are sealed.

    Attributes:
        generation: That of the key-encryption key of references.
    """

    epoch: int
    began_at: datetime
    generation: int


class IdentityTag(msgspec.Struct, frozen=True, kw_only=True):
    """One subject reference of one customer, as a tag, with the reference sealed beside it."""

    tag: bytes
    customer_id: UUID
    reference: str
    single: bool
    sealed: bytes


class SealedReference(msgspec.Struct, frozen=True):
    """The reference that lies sealed beside a tag, and of which epoch the tag is."""

    tag: bytes
    customer_id: UUID
    reference: str
    sealed: bytes
    generation: int
    epoch: int


class StrayReference(msgspec.Struct, frozen=True):
    """A reference that is not sealed as the policy wants it."""

    customer_id: UUID
    generation: int
    suite: int


class ReferenceCount(msgspec.Struct, frozen=True):
    """How many references are sealed under a generation and a suite."""

    generation: int
    suite: int
    seals: int


def read_state(connection: Connection) -> IdentityState:
    """Return under which epoch and generation tags are written, without a lock."""
    return IdentityState(**connection.execute(_READ_STATE).one()._mapping)


def share_state(connection: Connection) -> IdentityState:
    """Return the same, and keep the next ones from beginning until this transaction ends."""
    return IdentityState(**connection.execute(_SHARE_STATE).one()._mapping)


def begin_epoch(connection: Connection, ending: int, at: datetime) -> bool:
    """Begin the epoch behind ``ending``; False where somebody else has."""
    return connection.execute(_NEXT_EPOCH, {"ending": ending, "at": at}).rowcount == 1


def begin_generation(connection: Connection, ending: int) -> bool:
    """Begin the generation behind ``ending``, for what was deleted so far; False if it has begun.

    What is deleted meanwhile waits for the next one.
    """
    begun = connection.execute(_NEXT_GENERATION, {"ending": ending}).rowcount == 1
    if begun:
        connection.execute(_CLEAN)
    return begun


def is_dirty(connection: Connection) -> bool:
    """Whether a reference was deleted since the generation began, and can still be opened."""
    return bool(connection.execute(_IS_DIRTY).scalar_one())


def customers_by_tag(connection: Connection, tags: Iterable[bytes]) -> dict[bytes, UUID]:
    """Return whose tag each known one of ``tags`` is."""
    return dict(fetch(connection, _BY_TAG, {"tags": Blobs(tags)}))


def single_tags(connection: Connection, customers: Iterable[UUID]) -> dict[tuple[UUID, str], bytes]:
    """Return the one tag of each single-valued reference that the customers have."""
    rows = fetch(connection, _SINGLE, {"customers": Uuids(customers)})
    return {(customer, reference): tag for customer, reference, tag in rows}


def copy_tags(connection: Connection, tags: Iterable[IdentityTag], state: IdentityState) -> None:
    """Add identity tags by binary COPY, in the connection's transaction.

    Args:
        state: Of which epoch they are and of which generation their seals, as it is shared.

    Raises:
        UniqueViolation: One is there already: the transaction is over.
    """
    numbers = int_value(state.epoch) + int_value(state.generation)

    def encoded(one: IdentityTag) -> bytes:
        return b"".join(
            (
                _TAG_COLUMNS,
                blob(one.tag),
                UUID_HEAD,
                one.customer_id.bytes,
                text_value(one.reference),
                bool_value(one.single),
                blob(one.sealed),
                numbers,
            )
        )

    copy_encoded(connection, _COPY_TAGS, map(encoded, tags))


def delete_tags(connection: Connection, ids: Iterable[UUID]) -> list[SealedReference]:
    """Delete every identity tag of the customers and return what lay beside them.

    Copies may lie about, and open until the next generation: that is noted with it.
    """
    rows = connection.execute(_DELETE_TAGS, {"customers": list(ids)}).all()
    if rows:
        connection.execute(_MARK_DIRTY)
    return [SealedReference(*row) for row in rows]


def count_tags(connection: Connection, ids: Iterable[UUID]) -> int:
    """Return how many identity tags the customers have."""
    return int(connection.execute(_TAGS_LEFT, {"customers": list(ids)}).scalar_one())


def references_after(connection: Connection, after: bytes, most: int) -> list[SealedReference]:
    """Return up to ``most`` references in order of their tags, beginning behind ``after``."""
    rows = fetch(connection, _PAGE + _LAST, {"after": after, "most": most})
    return [SealedReference(*row) for row in rows]


def references_to_seal(
    connection: Connection, after: bytes, most: int, generation: int, suite: Suite
) -> list[SealedReference]:
    """Return, locked, the next references of an earlier generation or another suite."""
    where = {"after": after, "most": most, "generation": generation, "suite": suite.number}
    return [SealedReference(*row) for row in fetch(connection, _TO_SEAL, where)]


def count_to_seal(connection: Connection, generation: int, suite: Suite) -> int:
    """Return how many references are of an earlier generation or another suite."""
    where = {"generation": generation, "suite": suite.number}
    return int(connection.execute(_LEFT_TO_SEAL, where).scalar_one())


def put_sealed(
    connection: Connection, changes: Sequence[tuple[bytes, bytes]], generation: int
) -> None:
    """Put other seals beside tags that the caller has locked: pairs of tag and seal."""
    columns = {
        "tags": Blobs(tag for tag, _ in changes),
        "sealed": Blobs(sealed for _, sealed in changes),
    }
    connection.execute(_SEAL, {**columns, "generation": generation})


def references_to_tag(
    connection: Connection, after: bytes, most: int, epoch: int
) -> list[SealedReference]:
    """Return, locked, the next references whose tags are of an earlier epoch."""
    where = {"after": after, "most": most, "epoch": epoch}
    return [SealedReference(*row) for row in fetch(connection, _TO_TAG, where)]


def put_tags(connection: Connection, changes: Sequence[tuple[bytes, bytes]], epoch: int) -> None:
    """Put other tags in the place of tags that the caller has locked: pairs of old and new."""
    columns = {"tags": Blobs(old for old, _ in changes), "new": Blobs(new for _, new in changes)}
    connection.execute(_TAG, {**columns, "epoch": epoch})


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
    columns = {"tags": Blobs(old for old, _ in changes), "new": Blobs(new for _, new in changes)}
    return connection.execute(_TAG_RECORDS, {**columns, "epoch": epoch}).rowcount


def count_to_tag(connection: Connection, epoch: int) -> int:
    """Return how many tags, of references and of records, are of an earlier epoch."""
    return int(connection.execute(_LEFT_TO_TAG, {"epoch": epoch}).scalar_one())


def count_seals(connection: Connection) -> list[ReferenceCount]:
    """Return how many references are sealed under each generation and suite."""
    return [ReferenceCount(*row) for row in connection.execute(_COUNT_SEALS)]


def stray_references(
    connection: Connection, suite: Suite, keyless: Collection[int], most: int
) -> list[StrayReference]:
    """Return up to ``most`` references under another suite, or of generations without a key."""
    where = {"suite": suite.number, "keyless": list(keyless), "most": most}
    return [StrayReference(*row) for row in connection.execute(_STRAY, where)]
