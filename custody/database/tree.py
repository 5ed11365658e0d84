"""Statements on the ledger's tree: give entries their places, read leaves and heads of subtrees."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Row, text

from custody.ledger import LEVELS, Entry, Leaf, LedgerBrokenError
from custody.merkle import Range, TreeHead, fold_perfect, perfect_ranges, root_of_leaves

_AS_ONE = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_SEQUENCE = text("SELECT ledger.sequence(:most)")
_TREE = text("SELECT size, perfect FROM ledger.tree")
_LEAVES = text(
    "SELECT l.place, l.hash, p.seq IS NOT NULL AS has_parts,"
    " e.seq, e.stream, e.number, e.at, e.event, e.body"
    " FROM ledger.leaves l LEFT JOIN ledger.entries e ON e.seq = l.seq"
    " LEFT JOIN ledger.parts p ON p.seq = l.seq"
    " WHERE l.place >= :first AND l.place < :end ORDER BY l.place"
)
_PARTS = text("SELECT leaves FROM ledger.parts WHERE seq = :seq")
_HASHES = text(
    "SELECT place, hash FROM ledger.leaves WHERE place >= :first AND place < :end ORDER BY place"
)
_NODES = text(
    "SELECT place, hash FROM ledger.nodes WHERE level = :level AND place >= :first"
    " AND place < :end ORDER BY place"
)
_PLACE = text("SELECT place FROM ledger.leaves WHERE seq = :seq")
_STREAMS = text("SELECT stream, in_tree FROM ledger.streams")
_BEHIND = text("SELECT min(place) FROM ledger.leaves WHERE place >= :size")
_ENTRIES = text("SELECT count(*) FROM ledger.entries")
_WAITING = text(
    "SELECT count(*) AS entries, coalesce(extract(epoch FROM clock_timestamp() - min(e.at)), 0)"
    " AS seconds FROM ledger.streams s JOIN ledger.entries e ON e.stream = s.stream"
    " AND e.number > s.in_tree"
)
_LAST_WAITING = text(
    "SELECT max(e.seq) FROM ledger.streams s CROSS JOIN LATERAL (SELECT n.seq FROM ledger.entries n"
    " WHERE n.stream = s.stream AND n.number > s.in_tree ORDER BY n.number DESC LIMIT 1) e"
)
_SEQUENCED: Final = 1000
LONGEST_WAIT_SECONDS: Final = 60.0
_PAGE: Final = 5000
_HIGHEST: Final = 56
_EVERYTHING: Final = 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """How many entries are committed and not in the tree yet, and how old the oldest is."""

    entries: int
    seconds: float


def sequence(connection: Connection, most: int = _SEQUENCED) -> int:
    """Give up to ``most`` committed entries their places in the tree, and return how many.

    None where somebody else is doing so: this waits for nobody.
    """
    return int(connection.execute(_SEQUENCE, {"most": most}).scalar_one())


def read_as_one(connection: Connection) -> None:
    """Let all that this transaction reads be of one moment; it is its first statement."""
    connection.execute(_AS_ONE)


def tree_head(connection: Connection) -> TreeHead:
    """Return the size and the root of the tree, as the database has them."""
    row = connection.execute(_TREE).one()
    perfect = [bytes(head) for head in reversed(row.perfect) if head is not None]
    return TreeHead(size=row.size, root=fold_perfect(perfect))


def read_leaves(connection: Connection, end: int, first: int = 0) -> Iterator[Leaf]:
    """Yield the leaves of the places from ``first`` to before ``end``, each with its entry."""
    for begin in range(first, end, _PAGE):
        page = {"first": begin, "end": min(begin + _PAGE, end)}
        for row in connection.execute(_LEAVES, page).all():
            yield _leaf(connection, row)


def roots_of(connection: Connection, ranges: Iterable[Range]) -> list[bytes]:
    """Return the heads of the trees over ranges of leaves, as a proof names them.

    Raises:
        LedgerBrokenError: What is kept of the tree has holes.
    """
    return [
        fold_perfect([_perfect_head(connection, *one) for one in perfect_ranges(*wanted)])
        for wanted in ranges
    ]


def kept_heads(connection: Connection, width: int) -> dict[int, bytes]:
    """Return the heads that are kept of perfect subtrees of ``width`` leaves, by place."""
    everything = {"level": width.bit_length() - 1, "first": 0, "end": _EVERYTHING}
    return {row.place: bytes(row.hash) for row in connection.execute(_NODES, everything)}


def place_of(connection: Connection, seq: int) -> int | None:
    """Return an entry's place in the tree, None while it has none."""
    found: int | None = connection.execute(_PLACE, {"seq": seq}).scalar_one_or_none()
    return found


def place_behind(connection: Connection, size: int) -> int | None:
    """Return the first leaf that stands behind a tree of ``size`` leaves; there should be none."""
    found: int | None = connection.execute(_BEHIND, {"size": size}).scalar_one()
    return found


def streams_in_tree(connection: Connection) -> dict[int, int]:
    """Return up to which number each stream is in the tree."""
    return {row.stream: row.in_tree for row in connection.execute(_STREAMS)}


def count_entries(connection: Connection) -> int:
    """Return how many entries there are, in the tree or not."""
    return int(connection.execute(_ENTRIES).scalar_one())


def waiting(connection: Connection) -> Waiting:
    """Return how many entries have no place in the tree yet, and for how long."""
    row = connection.execute(_WAITING).one()
    return Waiting(entries=row.entries, seconds=float(row.seconds))


def last_waiting(connection: Connection) -> int | None:
    """Return the number of the newest entry without a place, None where each has one."""
    found: int | None = connection.execute(_LAST_WAITING).scalar_one()
    return found


def _leaf(connection: Connection, row: Row[tuple[object, ...]]) -> Leaf:
    place, hashed, has_parts, seq, stream, number, at, event, body = row
    entry = None
    if seq is not None:
        entry = Entry(seq=seq, stream=stream, number=number, at=at, event=event, body=body)
    kept = connection.execute(_PARTS, {"seq": seq}).scalar_one() if has_parts else b""
    return Leaf(place=place, hash=bytes(hashed), entry=entry, parts=bytes(kept))


def _perfect_head(connection: Connection, first: int, end: int) -> bytes:
    """Return the head over a perfect subtree, from the largest parts of it that are kept."""
    level = min((end - first).bit_length() - 1, _HIGHEST) // LEVELS * LEVELS
    part = {"level": level, "first": first >> level, "end": end >> level}
    found = connection.execute(_NODES if level else _HASHES, part).all()
    if [row.place for row in found] != list(range(part["first"], part["end"])):
        raise LedgerBrokenError(first, "hashes of the tree are missing")
    return root_of_leaves(bytes(row.hash) for row in found)
