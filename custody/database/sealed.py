"""Statements on seals as such: under which suite each is, and records sealed again in place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from custody.database.blobs import Blobs, Texts, Uuids
from custody.database.copying import fetch
from custody.record import RecordRow
from custody.seal import HEADER_BYTES, MAGIC, VERSION
from custody.suites import TAG_BYTES, Suite


def suite_in(column: str, key_id: str = "") -> str:
    """Return the SQL for the suite that the seal in a column names.

    What is too short for a seal, does not begin as one, or names another key than the column
    ``key_id`` has, if that is given, counts as suite 0.
    """
    its_key = f" AND substring({column} FROM 5 FOR 16) = uuid_send({key_id})" if key_id else ""
    return (
        f"CASE WHEN length({column}) >= {HEADER_BYTES + TAG_BYTES}"
        f" AND get_byte({column}, 0) = {MAGIC} AND get_byte({column}, 1) = {VERSION}{its_key}"
        f" THEN get_byte({column}, 2) ELSE 0 END"
    )


_SUITE: Final = suite_in("c.sealed", "r.key_id")
_EACH: Final = (
    " FROM records r CROSS JOIN LATERAL (VALUES ('general', r.general),"
    " ('sensitive', r.sensitive), ('secret', r.secret)) c (level, sealed)"
    " WHERE c.sealed IS NOT NULL"
)
_COUNTS = text(
    f"SELECT r.key_id, r.dataset, c.level, {_SUITE} AS suite, count(*) AS seals {_EACH}"
    " AND (CAST(:keys AS uuid[]) IS NULL OR r.key_id = ANY(:keys))"
    " GROUP BY r.key_id, r.dataset, c.level, suite"
)
_STRAY = text(
    f"SELECT r.id AS record_id, r.dataset, c.level, {_SUITE} AS suite,"
    f" r.key_id <> ALL(:keyless) AS has_key {_EACH}"
    f" AND ({_SUITE} <> :suite OR r.key_id = ANY(:keyless)) ORDER BY r.id, c.level LIMIT :most"
)
REFERENCE: Final = "reference"
NO_DATASET: Final = "-"
_SUITE_OF_REFERENCE: Final = suite_in("t.sealed", "t.key_id")
_REFERENCE_COUNTS = text(
    f"SELECT t.key_id, '{NO_DATASET}' AS dataset, '{REFERENCE}' AS level,"  # noqa: S608
    f" {_SUITE_OF_REFERENCE} AS suite, count(*) AS seals FROM identity_tags t"
    " WHERE (CAST(:keys AS uuid[]) IS NULL OR t.key_id = ANY(:keys)) GROUP BY t.key_id, suite"
)
_STRAY_REFERENCES = text(
    f"SELECT t.customer_id, {_SUITE_OF_REFERENCE} AS suite, t.key_id <> ALL(:keyless) AS has_key"  # noqa: S608
    f" FROM identity_tags t WHERE {_SUITE_OF_REFERENCE} <> :suite OR t.key_id = ANY(:keyless)"
    " ORDER BY t.customer_id, t.tag LIMIT :most"
)
_OTHER_SUITE: Final = " OR ".join(
    f"r.{level} IS NOT NULL AND {suite_in(f'r.{level}', 'r.key_id')} <> %(suite)s"
    for level in ("general", "sensitive", "secret")
)
# In the order of the index, and no further than asked: a customer may be named twice.
_CUSTOMERS: Final = (
    f"SELECT r.customer_id FROM records r WHERE r.customer_id > %(after)s AND ({_OTHER_SUITE})"  # noqa: S608
    " ORDER BY r.customer_id LIMIT %(most)s"
)
_PUT = text(
    "UPDATE records r SET general = w.general, sensitive = w.sensitive, secret = w.secret"
    " FROM unnest(CAST(:periods AS text[]), CAST(:ids AS uuid[]), CAST(:general AS bytea[]),"
    "  CAST(:sensitive AS bytea[]), CAST(:secret AS bytea[]))"
    "  w (period, id, general, sensitive, secret)"
    " WHERE r.period = w.period AND r.id = w.id"
)
_PAGE: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SealCount:
    """How many seals of one kind lie under one key.

    Attributes:
        suite: The number in their header; 0 for what is no seal under the record's key.
    """

    key_id: UUID
    dataset: str
    level: str
    suite: int
    seals: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StraySeal:
    """A compartment that is not sealed as the policy wants it, or whose key is gone."""

    record_id: UUID
    dataset: str
    level: str
    suite: int
    has_key: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StrayReference:
    """A reference that is not sealed as the policy wants it, or whose key is gone."""

    customer_id: UUID
    suite: int
    has_key: bool


def seal_counts(connection: Connection, keys: Sequence[UUID] | None) -> Iterator[list[SealCount]]:
    """Yield the counts of records' seals, or those under some keys, by key, level and suite."""
    return _counted(connection, _COUNTS, keys)


def reference_counts(
    connection: Connection, keys: Sequence[UUID] | None
) -> Iterator[list[SealCount]]:
    """Yield the same of the references beside identity tags, which are of no dataset."""
    return _counted(connection, _REFERENCE_COUNTS, keys)


def _counted(
    connection: Connection, query: TextClause, keys: Sequence[UUID] | None
) -> Iterator[list[SealCount]]:
    rows = connection.execution_options(yield_per=_PAGE).execute(query, {"keys": keys})
    for page in rows.partitions():
        yield [SealCount(**row._mapping) for row in page]


def stray_seals(
    connection: Connection, suite: Suite, keyless: Sequence[UUID], most: int
) -> list[StraySeal]:
    """Return up to ``most`` compartments that are not under the suite, or under a key of these."""
    parameters = {"suite": suite.number, "keyless": list(keyless), "most": most}
    return [StraySeal(**row._mapping) for row in connection.execute(_STRAY, parameters)]


def stray_references(
    connection: Connection, suite: Suite, keyless: Sequence[UUID], most: int
) -> list[StrayReference]:
    """Return up to ``most`` references that are not under the suite, or under a key of these."""
    parameters = {"suite": suite.number, "keyless": list(keyless), "most": most}
    return [
        StrayReference(**row._mapping) for row in connection.execute(_STRAY_REFERENCES, parameters)
    ]


def customers_to_reseal(connection: Connection, suite: Suite, after: UUID, most: int) -> list[UUID]:
    """Return whose the next ``most`` records are that have a compartment not under the suite.

    Only customers behind ``after`` count; the last may have more such records.
    """
    parameters = {"suite": suite.number, "after": after, "most": most}
    found = fetch(connection, _CUSTOMERS, parameters)
    return list(dict.fromkeys(customer for (customer,) in found))


def put_seals(connection: Connection, rows: Sequence[RecordRow]) -> int:
    """Put the compartments of records in place of what was there; return how many records."""
    columns = {
        "periods": Texts(row.period for row in rows),
        "ids": Uuids(row.id for row in rows),
        "general": Blobs(row.general for row in rows),
        "sensitive": Blobs(row.sensitive for row in rows),
        "secret": Blobs(row.secret for row in rows),
    }
    return connection.execute(_PUT, columns).rowcount
