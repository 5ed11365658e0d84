"""The ledger: what is hashed of an entry, and how entries, tree and streams are held together.

An entry is one line of canonical JSON in UTF-8, a leaf of a Merkle tree after RFC 6962:

    {"at":…,"body":{…},"event":"…","number":…,"seq":…,"stream":…,"v":1}

``at`` is in microseconds since 1970; ``seq`` is the order of appending, with gaps where an act did
not happen; ``stream`` and ``number`` say which writer wrote it: everybody who writes at the same
time has a stream of its own, whose numbers have no gaps. An entry's **place** in the tree is given
to it afterwards, when it is committed, by whoever comes by (``ledger.sequence``), in the order of
``seq`` among those there. So writers never wait for each other, and what happened after something
else had been committed stands behind it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from custody.canonical import CanonicalError, parse_canonical
from custody.checkpoint import CheckpointContradictedError, KnownHead
from custody.errors import CustodyError
from custody.merkle import GrowingTree, leaf_hash, root_of_leaves
from custody.parts import split_leaves

VERSION: Final = 1
RETIRED: Final = "ledger:entries:retired"
LEAST_YEARS: Final = 3
"""Measures 2.4, PIPL art. 56, Network Data Regulations art. 12: records are kept so long."""
MOST_YEARS: Final = 100
LEVELS: Final = 8  # between those whose heads the database keeps
KEPT_SIZES: Final = tuple(1 << level for level in range(LEVELS, 64, LEVELS))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class LedgerBrokenError(CustodyError):
    """The ledger does not verify; the place is the first that is not what it was."""

    code = "ledger_broken"

    def __init__(self, place: int, why: str) -> None:
        super().__init__(place, why)
        self.place, self.why = place, why

    def __str__(self) -> str:
        """Return the place in the tree and what is wrong there."""
        return f"ledger place {self.place}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One ledger entry as the database holds it."""

    seq: int
    stream: int
    number: int
    at: datetime
    event: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A place of the tree: the hash that stands there, and the entry that it is of, if there.

    Attributes:
        parts: The leaves kept of what the act did to single records, in one array.
    """

    place: int
    hash: bytes
    entry: Entry | None
    parts: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retirement:
    """That the first entries were removed, past their own retention, as an entry says it.

    Attributes:
        at: When.
        upto: How many there were, from the first place.
        root: The root of the tree over their leaves, which stay.
        streams: The last of their numbers in each stream.
        years: For how many years they were kept at least.
    """

    at: datetime
    upto: int
    root: str
    streams: Mapping[int, int]
    years: int


def entry_bytes(entry: Entry) -> bytes:
    """Return the bytes of an entry that are hashed: the canonical JSON of the whole."""
    microseconds = (entry.at - _EPOCH) // _MICROSECOND
    return (
        f'{{"at":{microseconds},"body":{entry.body},"event":"{entry.event}",'
        f'"number":{entry.number},"seq":{entry.seq},"stream":{entry.stream},"v":{VERSION}}}'
    ).encode()


@dataclass(kw_only=True)
class Walk:
    """A walk along the leaves from the first, which checks each and grows the tree again.

    Attributes:
        streams: The last number met of each stream.
        tree: Keeps the heads of the perfect subtrees that the database keeps.
        gone: How many of the first leaves have no entry any more.
        retired: The retirement that says so, once the walk is closed.
    """

    streams: dict[int, int] = field(default_factory=dict)
    tree: GrowingTree = field(default_factory=partial(GrowingTree, keeping=KEPT_SIZES))
    gone: int = 0
    retired: Retirement | None = None
    _firsts: dict[int, int] = field(default_factory=dict)
    _root: str = ""
    _said: list[Retirement] = field(default_factory=list)

    def take(self, leaf: Leaf) -> None:
        """Check the next leaf.

        1. It stands at the next place. 2. Its entry is there, or was retired with all before it,
        3. it is what was hashed, 4. in canonical form. 5. What is kept of its parts has the root
        that it names. 6. It is the next of its stream.

        Raises:
            LedgerBrokenError: It is not as it was.
        """
        place, entry = self.tree.size, leaf.entry
        if leaf.place != place:
            raise LedgerBrokenError(place, f"missing; place {leaf.place} follows")
        if entry is None:
            if self.gone != place:
                raise LedgerBrokenError(place, "its entry is missing")
            self.gone += 1
        else:
            if place == self.gone:
                self._root = self.tree.head().root.hex()
            whole = entry_bytes(entry)
            if leaf_hash(whole) != leaf.hash:
                raise LedgerBrokenError(place, "its content is not what was hashed")
            said = _read(place, whole)
            if not _has_parts(said, leaf.parts):
                raise LedgerBrokenError(place, "its parts are not those it names")
            self._follow(place, entry)
            if entry.event == RETIRED:
                self._said += _retirements(place, entry.at, said["body"].get("facts"))
        self.tree.add(leaf.hash)

    def close(self) -> None:
        """Check, at the end, that entries which are gone were retired, as an entry says.

        Raises:
            LedgerBrokenError: No entry says so, or it says it of others.
        """
        if not self.gone:
            return
        numbers = {stream: number - 1 for stream, number in self._firsts.items()}
        for one in self._said:
            before = {stream: one.streams.get(stream, 0) for stream in numbers}
            if (one.upto, one.root, before) == (self.gone, self._root, numbers):
                self.retired = one
                self.streams = {**one.streams, **self.streams}
                return
        raise LedgerBrokenError(0, "its entry is missing, and no entry says that it was retired")

    def _follow(self, place: int, entry: Entry) -> None:
        """Check that an entry is the next of its stream."""
        before = self.streams.get(entry.stream, 0)
        if self.gone and not before:
            self._firsts[entry.stream] = entry.number
        elif entry.number != before + 1:
            why = f"number {entry.number} of stream {entry.stream} follows {before}"
            raise LedgerBrokenError(place, why)
        self.streams[entry.stream] = entry.number


def walk_tree(leaves: Iterable[Leaf], known: Iterable[KnownHead]) -> Walk:
    """Walk along all leaves, compare the trees that checkpoints vouch for, and return the walk.

    Args:
        leaves: In the order of their places.
        known: In any order.

    Raises:
        LedgerBrokenError: A leaf is not as it was.
        CheckpointContradictedError: The first entries are not those of a checkpoint, or fewer.
    """
    waiting = defaultdict(list)
    for one in known:
        waiting[one.head.size].append(one)
    walk = Walk()
    _compare(walk, waiting)
    for leaf in leaves:
        walk.take(leaf)
        _compare(walk, waiting)
    for size, ones in sorted(waiting.items()):
        raise CheckpointContradictedError(size, ones[0].where)
    walk.close()
    return walk


def _compare(walk: Walk, waiting: dict[int, list[KnownHead]]) -> None:
    """Compare the tree so far with the checkpoints of its size, which then wait no longer."""
    if walk.tree.size not in waiting:
        return
    head = walk.tree.head()
    for one in waiting.pop(head.size):
        if one.head != head:
            raise CheckpointContradictedError(head.size, one.where)


def _retirements(place: int, at: datetime, facts: Any) -> Iterator[Retirement]:  # noqa: ANN401 - JSON
    """Yield what an entry says of entries that went before it; nothing if it says no such thing."""
    try:
        upto, root, years = int(facts["upto"]), str(facts["root"]), int(facts["years"])
        streams = {int(stream): int(number) for stream, number in facts["streams"]}
    except (KeyError, TypeError, ValueError):
        return
    if 0 < upto <= place and LEAST_YEARS <= years <= MOST_YEARS:
        yield Retirement(at=at, upto=upto, root=root, streams=streams, years=years)


def _read(place: int, whole: bytes) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return what an entry says.

    Raises:
        LedgerBrokenError: Two readers could take it for two things.
    """
    try:
        return parse_canonical(whole)
    except CanonicalError:
        why = "it is not in canonical form"
    raise LedgerBrokenError(place, why)


def _has_parts(said: Any, array: bytes) -> bool:  # noqa: ANN401 - as above
    """Whether an entry names the parts that are kept with it, and no others."""
    facts = said["body"].get("facts")
    named = facts.get("parts") if isinstance(facts, dict) else None
    if not array:
        return named is None
    leaves = split_leaves(array)
    kept = {"count": len(leaves), "root": root_of_leaves(leaves).hex()}
    return isinstance(named, dict) and {n: named.get(n) for n in kept} == kept
