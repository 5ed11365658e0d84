"""Parts of bulk acts: each can be opened by itself, and says nothing without its opening."""

import hashlib
from uuid import UUID

from custody.merkle import TreeHead, inclusion_ranges, root_of_leaves, verify_inclusion
from custody.parts import (
    Parts,
    alias_of,
    new_pseudonym,
    opening_of,
    part_leaf,
    salt_of,
    split_leaves,
)

SALTS = [bytes([n]) * 16 for n in range(9)]
RECORDS = [UUID(int=n) for n in range(9)]
ACT = bytes(range(16))


def act(count: int = 9) -> Parts:
    parts = Parts(lambda size: ACT[:size])
    for salt, record in zip(SALTS[:count], RECORDS, strict=False):
        parts.add(salt, record, 3)
    return parts


def test_a_leaf_is_what_the_docstring_draws() -> None:
    opening = hashlib.sha256(b"custody/part/v1\0" + SALTS[1] + ACT + RECORDS[1].bytes).digest()
    part = f'{{"record":"{"0" * 31}1","version":3}}'.encode()
    assert opening_of(SALTS[1], ACT, RECORDS[1]) == opening
    assert part_leaf(opening, RECORDS[1], 3) == hashlib.sha256(b"\0" + opening + part).digest()


def test_any_single_part_is_proved_without_the_others() -> None:
    facts, array = act().facts()["parts"], act().array()
    assert array is not None
    leaves = split_leaves(array)
    assert isinstance(facts, dict)
    head = TreeHead(size=facts["count"], root=bytes.fromhex(facts["root"]))
    for salt, record in zip(SALTS, RECORDS, strict=True):
        own = part_leaf(opening_of(salt, bytes.fromhex(facts["act"]), record), record, 3)
        place = leaves.index(own)
        ranges = inclusion_ranges(place, len(leaves))
        path = [root_of_leaves(leaves[first:end]) for first, end in ranges]
        verify_inclusion(own, place, head, path)
        assert part_leaf(opening_of(salt, ACT, record), record, 2) not in leaves
        assert part_leaf(
            opening_of(bytes(16), ACT, record), record, 3
        ) not in leaves or salt == bytes(16)


def test_places_say_nothing_of_the_order_of_the_act() -> None:
    array = act().array()
    assert array is not None
    assert split_leaves(array) == sorted(split_leaves(array))


def test_the_same_record_in_two_acts_has_two_leaves() -> None:
    one, other = Parts(), Parts()
    for parts in (one, other):
        parts.add(SALTS[0], RECORDS[0], 1)
    assert one.array() != other.array()


def test_an_act_on_nothing_names_no_parts() -> None:
    assert Parts().facts() == {}
    assert Parts().array() is None


def test_a_pseudonym_is_an_alias_and_a_salt() -> None:
    pseudonym = new_pseudonym()
    assert len({new_pseudonym() for _ in range(100)}) == 100
    assert alias_of(pseudonym) + salt_of(pseudonym).hex() == pseudonym
    assert (len(alias_of(pseudonym)), len(salt_of(pseudonym))) == (16, 16)
