"""Merkle trees after RFC 6962: published vectors, every proof to 64 leaves, every corruption."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from custody.canonical import SM3
from custody.merkle import (
    GrowingTree,
    ProofInvalidError,
    Range,
    TreeHead,
    consistency_ranges,
    fold_perfect,
    inclusion_ranges,
    leaf_hash,
    merkle_root,
    perfect_ranges,
    root_of_leaves,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "merkle.json").read_text(encoding="utf-8")
)
MOST = 64
LEAVES = [leaf_hash(bytes([n])) for n in range(MOST + 1)]
OTHER = leaf_hash(b"of no tree")


def root(of: Range) -> bytes:
    return root_of_leaves(LEAVES[slice(*of)])


ROOTS = {(first, end): root((first, end)) for first in range(MOST) for end in range(MOST + 2)}
HEADS = [TreeHead(size=size, root=ROOTS[0, size]) for size in range(MOST + 2)]


@dataclass(frozen=True)
class Inclusion:
    """An inclusion proof with all it is about."""

    leaf: bytes
    index: int
    tree: TreeHead
    path: tuple[bytes, ...]

    def verify(self) -> None:
        verify_inclusion(self.leaf, self.index, self.tree, self.path)


@dataclass(frozen=True)
class Consistency:
    """A consistency proof with all it is about."""

    old: TreeHead
    new: TreeHead
    path: tuple[bytes, ...]

    def verify(self) -> None:
        verify_consistency(self.old, self.new, self.path)


def inclusions() -> Iterator[Inclusion]:
    for size in range(1, MOST + 1):
        for index in range(size):
            path = tuple(ROOTS[one] for one in inclusion_ranges(index, size))
            yield Inclusion(LEAVES[index], index, HEADS[size], path)


def consistencies() -> Iterator[Consistency]:
    for new in range(MOST + 1):
        for old in range(new + 1):
            path = tuple(ROOTS[one] for one in consistency_ranges(old, new))
            yield Consistency(HEADS[old], HEADS[new], path)


def flipped(hashed: bytes) -> bytes:
    return bytes([hashed[0] ^ 1]) + hashed[1:]


def middle(path: Sequence[bytes]) -> int:
    return len(path) // 2


# Each returns the corrupted proof, or None where this one cannot be corrupted so.
OF_A_PATH: dict[str, Callable[[tuple[bytes, ...]], tuple[bytes, ...] | None]] = {
    "a flipped bit": lambda p: (
        (*p[: middle(p)], flipped(p[middle(p)]), *p[middle(p) + 1 :]) if p else None
    ),
    "the first hash missing": lambda p: p[1:] if p else None,
    "the last hash missing": lambda p: p[:-1] if p else None,
    "a hash in front": lambda p: (OTHER, *p),
    "a hash behind": lambda p: (*p, OTHER),
    "a hash twice": lambda p: (
        (*p[: middle(p)], *p[middle(p) :][:1], *p[middle(p) :]) if p else None
    ),
    "two hashes swapped": lambda p: (p[1], p[0], *p[2:]) if len(p) > 1 else None,
    "a hash cut short": lambda p: (*p[:-1], p[-1][:-1]) if p else None,
}


def of_inclusions(kind: str, one: Inclusion) -> Inclusion | None:
    size = one.tree.size
    match kind:
        case "another leaf":
            return replace(one, leaf=LEAVES[one.index ^ 1])
        case "another place":
            return replace(one, index=one.index ^ 1) if one.index ^ 1 < size else None
        case "no place":
            return replace(one, index=size)
        case "another tree":
            return replace(one, tree=HEADS[size + 1])
        case "another root":
            return replace(one, tree=replace(one.tree, root=flipped(one.tree.root)))
    path = OF_A_PATH[kind](one.path)
    return None if path is None else replace(one, path=path)


def of_consistencies(kind: str, one: Consistency) -> Consistency | None:
    match kind:
        case "another old root":
            return replace(one, old=replace(one.old, root=flipped(one.old.root)))
        case "another new root" if one.old.size:  # an empty tree begins every tree
            return replace(one, new=replace(one.new, root=flipped(one.new.root)))
        case "the trees exchanged" if one.old.size < one.new.size:
            return replace(one, old=one.new, new=one.old)
        case "an older tree":
            return replace(one, old=HEADS[one.old.size - 1]) if one.old.size > 1 else None
    path = OF_A_PATH[kind](one.path) if kind in OF_A_PATH else None
    return None if path is None else replace(one, path=path)


def test_the_published_tree_and_its_roots() -> None:
    entries = [bytes.fromhex(one) for one in VECTORS["entries"]]
    assert merkle_root(()).hex() == VECTORS["empty"]
    for size, expected in enumerate(VECTORS["roots"], 1):
        assert merkle_root(entries[:size]).hex() == expected


def _published(kind: str) -> list[tuple[dict[str, Any], tuple[bytes, ...]]]:
    return [(one, tuple(map(bytes.fromhex, one["path"]))) for one in VECTORS[kind]]


def _published_head(size: int) -> TreeHead:
    return TreeHead(size=size, root=bytes.fromhex(VECTORS["roots"][size - 1]))


def test_the_published_proofs_are_ours_and_verify() -> None:
    leaves = [leaf_hash(bytes.fromhex(one)) for one in VECTORS["entries"]]
    for one, path in _published("inclusion"):
        ranges = inclusion_ranges(one["index"], one["size"])
        assert tuple(root_of_leaves(leaves[first:end]) for first, end in ranges) == path
        verify_inclusion(leaves[one["index"]], one["index"], _published_head(one["size"]), path)
    for one, path in _published("consistency"):
        ranges = consistency_ranges(one["old"], one["new"])
        assert tuple(root_of_leaves(leaves[first:end]) for first, end in ranges) == path
        verify_consistency(_published_head(one["old"]), _published_head(one["new"]), path)


def test_every_proof_verifies() -> None:
    for one in (*inclusions(), *consistencies()):
        one.verify()


def sizes_refused(corrupted: Iterable[tuple[int, Inclusion | Consistency | None]]) -> set[int]:
    """Return the sizes of the trees about which corrupted proofs were tried, all refused."""
    sizes = set()
    for size, proof in corrupted:
        if proof is not None:
            with pytest.raises(ProofInvalidError):
                proof.verify()
            sizes.add(size)
    return sizes


@pytest.mark.parametrize(
    "kind",
    [*OF_A_PATH, "another leaf", "another place", "no place", "another tree", "another root"],
)
def test_every_corrupted_inclusion_proof_is_refused(kind: str) -> None:
    corrupted = ((one.tree.size, of_inclusions(kind, one)) for one in inclusions())
    assert sizes_refused(corrupted) >= set(range(3, MOST + 1))


@pytest.mark.parametrize(
    "kind",
    [
        *OF_A_PATH,
        "another old root",
        "another new root",
        "the trees exchanged",
        "an older tree",
    ],
)
def test_every_corrupted_consistency_proof_is_refused(kind: str) -> None:
    corrupted = ((one.new.size, of_consistencies(kind, one)) for one in consistencies())
    assert sizes_refused(corrupted) >= set(range(4, MOST + 1))


def test_a_proof_is_no_longer_than_the_tree_is_high() -> None:
    for size in (1, 2, 3, 64, 65, 1_000_000):
        height = (size - 1).bit_length()
        assert max(len(inclusion_ranges(i, size)) for i in (0, size // 2, size - 1)) <= height
        assert len(consistency_ranges(size // 2 + 1, size)) <= height + 1


def test_ranges_are_made_of_perfect_subtrees() -> None:
    for size in range(1, MOST + 1):
        for index in range(size):
            for wanted in inclusion_ranges(index, size):
                parts = [ROOTS[one] for one in perfect_ranges(*wanted)]
                assert fold_perfect(parts) == ROOTS[wanted]


def test_a_growing_tree_is_the_tree_at_every_size_under_either_hash() -> None:
    for by in ("sha256", SM3):
        tree = GrowingTree(by, keeping=(2, 8))
        for size in range(MOST):
            assert tree.head() == TreeHead(size=size, root=root_of_leaves(LEAVES[:size], by))
            tree.add(LEAVES[size])
        for width in (2, 8):
            parts = [LEAVES[first : first + width] for first in range(0, MOST, width)]
            assert tree.kept[width] == [root_of_leaves(one, by) for one in parts]
