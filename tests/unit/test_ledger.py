"""The walk along the tree notices what is changed, removed, swapped or put in, and where."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.canonical import canonical
from custody.checkpoint import CheckpointContradictedError, KnownHead
from custody.ledger import Entry, Leaf, LedgerBrokenError, entry_bytes, walk_tree
from custody.merkle import TreeHead, leaf_hash, merkle_root
from custody.parts import Parts

BEGAN = datetime(2026, 11, 23, 12, 0, 0, 654321, tzinfo=UTC)
LENGTH = 12
EVENT = "record:data:stored"


def entry(place: int) -> Entry:
    """Return one of two streams' entries, which come in turn."""
    return Entry(
        seq=place + 1,
        stream=1 + place % 2,
        number=1 + place // 2,
        at=BEGAN + timedelta(microseconds=place),
        event=EVENT,
        body=f'{{"n":{place}}}',
    )


def leaf(place: int, of: Entry) -> Leaf:
    return Leaf(place=place, hash=leaf_hash(entry_bytes(of)), entry=of)


def ledger(length: int = LENGTH) -> list[Leaf]:
    return [leaf(place, entry(place)) for place in range(length)]


def head(leaves: Sequence[Leaf]) -> TreeHead:
    whole = [entry_bytes(one.entry) for one in leaves if one.entry]
    return TreeHead(size=len(whole), root=merkle_root(whole))


def checkpoints(*sizes: int) -> list[KnownHead]:
    return [KnownHead(head=head(ledger(size)), where="the files") for size in sizes]


def broken_at(leaves: Sequence[Leaf]) -> int:
    with pytest.raises(LedgerBrokenError) as broken:
        walk_tree(leaves, ())
    return broken.value.place


def test_an_untouched_ledger_verifies() -> None:
    walk = walk_tree(ledger(), checkpoints(0, 1, 5, 5, LENGTH))
    assert walk.tree.head() == head(ledger())
    assert walk.streams == {1: 6, 2: 6}
    assert walk_tree([], checkpoints(0)).tree.size == 0


def test_an_entrys_bytes_are_what_the_docstring_says() -> None:
    by_hand = (
        '{"at":1795435200654322,"body":{"n":1},"event":"record:data:stored",'
        '"number":1,"seq":2,"stream":2,"v":1}'
    )
    assert entry_bytes(entry(1)) == by_hand.encode()


@pytest.mark.parametrize("place", range(LENGTH))
@pytest.mark.parametrize(
    "change",
    [
        {"at": BEGAN - timedelta(days=1)},
        {"event": "record:data:deleted"},
        {"body": '{"n":99}'},
        {"seq": 1000},
        {"stream": 3},
        {"number": 7},
    ],
)
def test_any_changed_entry_is_named(place: int, change: dict[str, Any]) -> None:
    leaves = ledger()
    changed = replace(entry(place), **change)
    leaves[place] = replace(leaves[place], entry=changed)
    assert broken_at(leaves) == place
    leaves[place] = leaf(place, changed)  # hashed again: nothing but a checkpoint tells, or numbers
    with pytest.raises((CheckpointContradictedError, LedgerBrokenError)):
        walk_tree(leaves, checkpoints(LENGTH))


@pytest.mark.parametrize("place", range(LENGTH))
def test_an_entry_that_is_gone_is_named(place: int) -> None:
    leaves = ledger()
    leaves[place] = replace(leaves[place], entry=None)
    assert broken_at(leaves) == place


@pytest.mark.parametrize("place", range(LENGTH - 1))
def test_a_leaf_that_is_gone_is_named(place: int) -> None:
    assert broken_at([*ledger()[:place], *ledger()[place + 1 :]]) == place


def test_swapped_and_repeated_leaves_are_named() -> None:
    leaves = ledger()
    assert broken_at([leaves[1], leaves[0], *leaves[2:]]) == 0
    assert broken_at([*leaves[:3], leaves[2], *leaves[3:]]) == 3
    for first in range(LENGTH - 2):  # with the places put right: two entries of one stream
        moved = [*ledger()]
        moved[first] = replace(leaves[first + 2], place=first)
        moved[first + 2] = replace(leaves[first], place=first + 2)
        assert broken_at(moved) == first


def test_a_hash_that_was_changed_is_named() -> None:
    for place in range(LENGTH):
        leaves = ledger()
        leaves[place] = replace(leaves[place], hash=bytes(32))
        assert broken_at(leaves) == place


@pytest.mark.parametrize(
    "body",
    ['{"n": 1}', '{"n":1.5}', '{"n":true}', '{"n":1,"n":2}', '{"n":1', '{"n":1},"x":{"m":2}'],
)
def test_what_is_not_in_canonical_form_is_named(body: str) -> None:
    """Two readers could take it for two things, or for more than one entry."""
    leaves = [leaf(0, replace(entry(0), body=body))]
    assert broken_at(leaves) == 0


def test_a_gap_in_a_stream_is_named() -> None:
    leaves = [leaf(place, entry(place)) for place in (0, 1, 4, 5)]
    assert broken_at([replace(one, place=n) for n, one in enumerate(leaves)]) == 2


@pytest.mark.parametrize("length", range(LENGTH))
def test_a_cut_tail_contradicts_a_checkpoint_and_nothing_else(length: int) -> None:
    assert walk_tree(ledger(length), ()).tree.size == length
    with pytest.raises(CheckpointContradictedError) as contradicted:
        walk_tree(ledger(length), checkpoints(length + 1))
    assert contradicted.value.size == length + 1


@pytest.mark.parametrize("size", range(1, LENGTH + 1))
def test_a_tree_built_anew_contradicts_every_checkpoint_behind_the_change(size: int) -> None:
    changed = [replace(entry(place), body='{"n":99}') for place in (0,)]
    leaves = [leaf(0, changed[0]), *ledger()[1:]]
    assert walk_tree(leaves, ()).tree.size == LENGTH
    with pytest.raises(CheckpointContradictedError) as contradicted:
        walk_tree(leaves, checkpoints(size))
    assert contradicted.value.size == size
    untouched = [*ledger()[: LENGTH - 1], leaf(LENGTH - 1, replace(changed[0], number=6, stream=2))]
    if size < LENGTH:
        walk_tree(untouched, checkpoints(size))  # of what came before, it says nothing


def with_parts(body: str, array: bytes) -> Leaf:
    return replace(leaf(0, replace(entry(0), body=body)), parts=array)


def test_parts_are_those_that_the_entry_names() -> None:
    parts = Parts()
    for number in range(3):
        parts.add(bytes([number]) * 16, UUID(int=number), 1)
    array = parts.array()
    assert array is not None
    body = canonical({"facts": parts.facts()}).decode()
    assert walk_tree([with_parts(body, array)], ()).tree.size == 1
    fewer = canonical({"facts": Parts().facts()}).decode()
    for wrong in (
        with_parts(body, b""),
        with_parts(body, array[32:]),
        with_parts(body, array[32:] + array[:32]),
        with_parts(body, array[:-1] + bytes([array[-1] ^ 1])),
        with_parts(fewer, array),
        with_parts(body.replace('"count":3', '"count":2'), array),
        with_parts('{"facts":{"parts":1}}', array),
        with_parts('{"facts":1}', array),
    ):
        assert broken_at([wrong]) == 0
