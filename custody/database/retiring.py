"""Statements by which the owner of the database removes entries past their retention.

The application has no privilege to: whoever runs it can neither change nor remove an entry.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

# The tree's own lock, under which entries are given their places: see d0007.
_LOCK = text("SELECT pg_advisory_xact_lock(1818584167, 0)")
_OLD = text("SELECT clock_timestamp() - make_interval(years => :years) AS before")
_FIRST_YOUNG = text(
    "SELECT coalesce((SELECT min(l.place) FROM ledger.leaves l JOIN ledger.entries e USING (seq)"
    " WHERE e.at >= :before), (SELECT size FROM ledger.tree))"
)
_STREAMS = text(
    "SELECT e.stream, max(e.number) AS last FROM ledger.leaves l JOIN ledger.entries e USING (seq)"
    " WHERE l.place < :upto GROUP BY e.stream ORDER BY e.stream"
)
_PARTS = text(
    "DELETE FROM ledger.parts p USING ledger.leaves l WHERE p.seq = l.seq AND l.place < :upto"
)
_ENTRIES = text(
    "DELETE FROM ledger.entries e USING ledger.leaves l WHERE e.seq = l.seq AND l.place < :upto"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Old:
    """What is past its retention.

    Attributes:
        before: Entries from before this instant are.
        upto: How many places stand before the first entry that is not.
    """

    before: datetime
    upto: int


def hold_tree(connection: Connection) -> None:
    """Be the only one who gives entries their places, or removes any, until the transaction ends.

    Others append meanwhile as ever.
    """
    connection.execute(_LOCK)


def old_entries(connection: Connection, years: int) -> Old:
    """Return what is older than so many years by the clock that dates the entries."""
    before = connection.execute(_OLD, {"years": years}).scalar_one()
    upto = connection.execute(_FIRST_YOUNG, {"before": before}).scalar_one()
    return Old(before=before, upto=int(upto))


def last_numbers(connection: Connection, upto: int) -> dict[int, int]:
    """Return the last number that each stream has before a place, of entries that are there."""
    return {row.stream: row.last for row in connection.execute(_STREAMS, {"upto": upto})}


def remove_entries(connection: Connection, upto: int) -> int:
    """Remove the entries before a place with their parts, and return how many; leaves stay."""
    connection.execute(_PARTS, {"upto": upto})
    return int(connection.execute(_ENTRIES, {"upto": upto}).rowcount)
