"""Statements on the seals that are no record's: documents of consents, intake, quarantine, origins.

Each is named by its place, an identifier and a number: the consent; the batch and its chunk; the
batch and its row; the batch alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

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
    table, _, _, _, column = _WHERE[place]
    return text(
        f"SELECT {suite_in(column)} AS suite, count(*) AS seals FROM {table}"  # noqa: S608 - our own names
        f" WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )


def _stray(place: str) -> TextClause:
    table, identifier, number, owner, column = _WHERE[place]
    return text(
        f"SELECT {identifier} AS id, {number} AS number, {owner} AS owner, {column} AS sealed,"  # noqa: S608
        f" {suite_in(column)} AS suite FROM {table}"
        f" WHERE {column} IS NOT NULL AND {suite_in(column)} <> :suite ORDER BY 1, 2 LIMIT :most"
    )


def _put(place: str) -> TextClause:
    table, identifier, number, _, column = _WHERE[place]
    numbered = "" if number == "0" else f" AND {number} = :number"
    return text(
        f"UPDATE {table} SET {column} = :after"  # noqa: S608
        f" WHERE {identifier} = :id{numbered} AND {column} = :before"
    )


_COUNTS: Final = {place: _count(place) for place in PLACES}
_STRAY: Final = {place: _stray(place) for place in PLACES}
_PUT: Final = {place: _put(place) for place in PLACES}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedSeal:
    """One seal that is not sealed as the policy wants it.

    Attributes:
        owner: Whose key opens it: a customer's or a batch's.
        suite: The number in its header; 0 for what is no seal.
    """

    place: str
    id: UUID
    number: int
    owner: UUID
    sealed: bytes = field(repr=False)
    suite: int


def place_counts(connection: Connection, place: str) -> dict[int, int]:
    """Return how many seals of a place are under each suite."""
    return {row.suite: row.seals for row in connection.execute(_COUNTS[place])}


def stray_in(connection: Connection, place: str, suite: Suite, most: int) -> list[PlacedSeal]:
    """Return up to ``most`` seals of a place that are not under the suite."""
    rows = connection.execute(_STRAY[place], {"suite": suite.number, "most": most})
    return [PlacedSeal(place=place, **row._mapping) for row in rows]


def put_in_place(connection: Connection, changes: Sequence[tuple[PlacedSeal, bytes | None]]) -> int:
    """Put other bytes in the place of seals that are still what they were; None empties it.

    Returns:
        How many there were; the others went or were changed meanwhile.
    """
    put = 0
    for seal, after in changes:
        row = {"id": seal.id, "number": seal.number, "before": seal.sealed, "after": after}
        put += connection.execute(_PUT[seal.place], row).rowcount
    return put
