"""Statements on the seals that are no record's: documents of consents, intake, quarantine, origins.

Each is named by its place, an identifier and a number: the consent; the batch and its chunk; the
batch and its row; the batch alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from custody.database.blobs import Blobs
from custody.database.sealed import suite_in
from custody.suites import Suite

DOCUMENT: Final = "document"
INTAKE: Final = "intake"
QUARANTINE: Final = "quarantine"
LOCATION: Final = "location"
PLACES: Final = (DOCUMENT, INTAKE, QUARANTINE, LOCATION)

# Where each lies: the table, its identifier, its number, whose it is, the column with the seal.
_WHERE: Final[Mapping[str, tuple[str, str, str, str, str]]] = {
    DOCUMENT: ("consents", "id", "0", "customer_id", "document"),
    INTAKE: ("intake", "batch_id", "chunk", "batch_id", "sealed"),
    QUARANTINE: ("quarantine", "batch_id", "row_number", "batch_id", "sealed"),
    LOCATION: ("batches", "id", "0", "id", "location"),
}


def _count(place: str) -> TextClause:
    table, _, _, owner, column = _WHERE[place]
    return text(
        f"SELECT {owner} AS owner, {suite_in(column)} AS suite, count(*) AS seals FROM {table}"  # noqa: S608 - our own names
        f" WHERE {column} IS NOT NULL"
        f" AND (CAST(:owners AS uuid[]) IS NULL OR {owner} = ANY(:owners)) GROUP BY 1, 2"
    )


def _stray(place: str) -> TextClause:
    table, identifier, number, owner, column = _WHERE[place]
    behind = (
        f"({identifier}, {number}) > (:id, :number)" if number != "0" else f"{identifier} > :id"
    )
    return text(
        f"SELECT {identifier} AS id, {number} AS number, {owner} AS owner, {column} AS sealed,"  # noqa: S608
        f" {suite_in(column)} AS suite, {owner} <> ALL(:keyless) AS has_key FROM {table}"
        f" WHERE {column} IS NOT NULL AND {behind}"
        f" AND ({suite_in(column)} <> :suite OR {owner} = ANY(:keyless)) ORDER BY 1, 2 LIMIT :most"
    )


def _same(place: str) -> str:
    _, identifier, number, _, column = _WHERE[place]
    numbered = "" if number == "0" else f" AND t.{number} = w.number"
    return f"t.{identifier} = w.id{numbered} AND t.{column} = w.before"


def _put(place: str) -> TextClause:
    table, _, _, _, column = _WHERE[place]
    return text(
        f"UPDATE {table} t SET {column} = w.after FROM unnest(CAST(:ids AS uuid[]),"  # noqa: S608
        " CAST(:numbers AS integer[]), CAST(:before AS bytea[]), CAST(:after AS bytea[]))"
        f" w (id, number, before, after) WHERE {_same(place)}"
    )


def _still(place: str) -> TextClause:
    return text(
        f"SELECT w.id, w.number FROM {_WHERE[place][0]} t, unnest(CAST(:ids AS uuid[]),"  # noqa: S608
        f" CAST(:numbers AS integer[]), CAST(:before AS bytea[])) w (id, number, before)"
        f" WHERE {_same(place)} ORDER BY 1, 2 FOR SHARE OF t"
    )


_COUNTS: Final = {place: _count(place) for place in PLACES}
_STRAY: Final = {place: _stray(place) for place in PLACES}
_PUT: Final = {place: _put(place) for place in PLACES}
_STILL: Final = {place: _still(place) for place in PLACES}
_PAGE: Final = 10_000
FIRST: Final = (UUID(int=0), -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedSeal:
    """One seal that is not sealed as the policy wants it.

    Attributes:
        owner: Whose key opens it: a customer's or a batch's.
        suite: The number in its header; 0 for what is no seal.
        has_key: Whether its owner is none of those who were said to have no key.
    """

    place: str
    id: UUID
    number: int
    owner: UUID
    sealed: bytes = field(repr=False)
    suite: int
    has_key: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceCount:
    """How many seals of a place lie under one owner's key.

    Attributes:
        suite: The number in their header; 0 for what is no seal.
    """

    owner: UUID
    suite: int
    seals: int


def place_counts(
    connection: Connection, place: str, owners: Collection[UUID] | None = None
) -> Iterator[list[PlaceCount]]:
    """Yield the counts of a place's seals, or those of some owners, by owner and suite."""
    wanted = {"owners": None if owners is None else list(owners)}
    rows = connection.execution_options(yield_per=_PAGE).execute(_COUNTS[place], wanted)
    for page in rows.partitions():
        yield [PlaceCount(**row._mapping) for row in page]


def stray_in(
    connection: Connection,
    place: str,
    suite: Suite,
    most: int,
    *,
    after: tuple[UUID, int] = FIRST,
    keyless: Collection[UUID] = (),
) -> list[PlacedSeal]:
    """Return up to ``most`` seals of a place, in order, that are not under the suite.

    Args:
        connection: The data database.
        place: One of ``PLACES``.
        suite: The suite that is wanted.
        most: How many at most.
        after: Identifier and number behind which to begin.
        keyless: Owners whose seals are listed in any case, for they have no key.
    """
    where = {"suite": suite.number, "most": most, "keyless": list(keyless)}
    rows = connection.execute(_STRAY[place], {**where, "id": after[0], "number": after[1]})
    return [PlacedSeal(place=place, **row._mapping) for row in rows]


def put_in_place(
    connection: Connection, place: str, changes: Sequence[tuple[PlacedSeal, bytes | None]]
) -> int:
    """Put other bytes in the place of seals that are still what they were; None empties it.

    Returns:
        How many there were; the others went or were changed meanwhile.
    """
    columns = {**_columns([one for one, _ in changes]), "after": Blobs(new for _, new in changes)}
    return connection.execute(_PUT[place], columns).rowcount


def still_in_place(
    connection: Connection, place: str, seals: Sequence[PlacedSeal]
) -> list[tuple[UUID, int]]:
    """Return identifier and number of those seals that are still there as they were.

    Whoever is about to take them away is waited for.
    """
    rows = connection.execute(_STILL[place], _columns(seals))
    return [(row.id, row.number) for row in rows]


def _columns(seals: Sequence[PlacedSeal]) -> dict[str, object]:
    return {
        "ids": [one.id for one in seals],
        "numbers": [one.number for one in seals],
        "before": Blobs(one.sealed for one in seals),
    }
