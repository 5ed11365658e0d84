"""Merkle trees after RFC 6962, section 2.1, with SHA-256 or, in its place, SM3.

    leaf  = hash(0x00 ‖ entry)             node = hash(0x01 ‖ left ‖ right)

An odd node is carried up unchanged, never doubled, so no two lists of entries share a root. The
tree of ``n`` leaves is that of its first ``k`` beside that of the rest, ``k`` being the largest
power of two below ``n``. A proof is a list of hashes, each that of the tree over some range of
leaves: :func:`inclusion_ranges` and :func:`consistency_ranges` say of which, so that whoever keeps
the hashes decides how. Checking follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, whose steps are
those of RFC 6962 written out.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from custody.canonical import SHA256
from custody.errors import CustodyError

Range: TypeAlias = tuple[int, int]

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class ProofInvalidError(CustodyError):
    """A proof does not lead from what it is about to the root."""

    code = "ledger_broken"


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeHead:
    """How many leaves a tree has, and its root."""

    size: int
    root: bytes


class GrowingTree:
    """The tree over the leaves so far; its memory grows with log2 of their number.

    It holds perfect subtrees, largest first: like a binary counter, each new leaf merges with its
    left neighbours of equal size.
    """

    def __init__(self, by: str = SHA256, keeping: Iterable[int] = ()) -> None:
        """Begin without leaves.

        Args:
            by: The name of the hash.
            keeping: Of which sizes the heads of all perfect subtrees are kept, in order.
        """
        self._by = by
        self._perfect: list[tuple[int, bytes]] = []
        self.size = 0
        self.kept: dict[int, list[bytes]] = {size: [] for size in keeping}

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        self.size += 1
        size, head = 1, leaf
        while self._perfect and self._perfect[-1][0] == size:
            size, head = size * 2, node_hash(self._perfect.pop()[1], head, self._by)
            if size in self.kept:
                self.kept[size].append(head)
        self._perfect.append((size, head))

    def head(self) -> TreeHead:
        """Return the tree head."""
        root = fold_perfect([head for _, head in self._perfect], self._by)
        return TreeHead(size=self.size, root=root)


def leaf_hash(entry: bytes, by: str = SHA256) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.new(by, _LEAF + entry).digest()


def node_hash(left: bytes, right: bytes, by: str = SHA256) -> bytes:
    """Return the hash of the node over two subtrees."""
    return hashlib.new(by, _NODE + left + right).digest()


def merkle_root(entries: Iterable[bytes], by: str = SHA256) -> bytes:
    """Return the tree head of ``entries`` in their order; ``by`` names the hash."""
    tree = GrowingTree(by)
    for entry in entries:
        tree.add(leaf_hash(entry, by))
    return tree.head().root


def root_of_leaves(leaves: Iterable[bytes], by: str = SHA256) -> bytes:
    """Return the tree head over the hashes of leaves."""
    tree = GrowingTree(by)
    for leaf in leaves:
        tree.add(leaf)
    return tree.head().root


def fold_perfect(heads: Sequence[bytes], by: str = SHA256) -> bytes:
    """Return the tree head over perfect subtrees in order, each larger than the next."""
    if not heads:
        return hashlib.new(by).digest()
    root = heads[-1]
    for head in reversed(heads[:-1]):
        root = node_hash(head, root, by)
    return root


def perfect_ranges(first: int, end: int) -> list[Range]:
    """Return the perfect subtrees, largest first, that make the tree over a range of leaves.

    The range is one that a proof names: it begins at a multiple of the largest of them.
    """
    found = []
    while first < end:
        size = 1 << ((end - first).bit_length() - 1)
        found.append((first, first + size))
        first += size
    return found


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the ranges whose heads lead from leaf ``index`` to the root, lowest first."""
    ranges, first, end = [], 0, size
    while end - first > 1:
        middle = first + _left(end - first)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((first, middle))
            first = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Return the ranges whose heads prove that the tree of ``old`` leaves begins that of ``new``.

    Empty where nothing is to be proved: of an empty tree, or of one and the same.
    """
    if old in {0, new}:
        return []
    ranges, first, end, whole = [], 0, new, True
    while old < end:
        middle = first + _left(end - first)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((first, middle))
            first, whole = middle, False
    if not whole:
        ranges.append((first, end))
    return ranges[::-1]


def uncovered_ranges(places: Collection[int], size: int) -> list[Range]:
    """Return the largest subtrees in which none of some leaves lies, in order.

    Their heads and those leaves alone make the tree's root.
    """
    shown, found, waiting = sorted(places), [], [(0, size)]
    while waiting:
        first, end = waiting.pop()
        if bisect_left(shown, first) == bisect_left(shown, end):
            found.append((first, end))
        elif end - first > 1:
            middle = first + _left(end - first)
            waiting += [(middle, end), (first, middle)]
    return found if size else []


def verify_inclusion(
    leaf: bytes, index: int, tree: TreeHead, path: Sequence[bytes], by: str = SHA256
) -> None:
    """Check that ``leaf`` is leaf ``index`` of a tree.

    Raises:
        ProofInvalidError: It is not, or the path is not the one that shows it.
    """
    if not 0 <= index < tree.size:
        raise ProofInvalidError("no such place in the tree")
    head = leaf
    for sibling, is_left in _climb(index, tree.size - 1, path):
        head = node_hash(sibling, head, by) if is_left else node_hash(head, sibling, by)
    if head != tree.root:
        raise ProofInvalidError("the inclusion proof does not lead to the root")


def verify_consistency(
    old: TreeHead, new: TreeHead, path: Sequence[bytes], by: str = SHA256
) -> None:
    """Check that one tree begins with all leaves of another, in their order.

    Raises:
        ProofInvalidError: It does not, or the path is not the one that shows it.
    """
    if not 0 <= old.size <= new.size:
        raise ProofInvalidError("the older tree is the larger one")
    if old.size in {0, new.size}:
        _verify_trivial(old, new, path, by)
        return
    if not path:
        raise ProofInvalidError("the consistency proof is empty")
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # Where the old tree is a perfect subtree of the new one, the path leaves its head out.
    first, *rest = path if place else [old.root, *path]
    old_head = new_head = first
    for sibling, is_left in _climb(place, last, rest):
        if is_left:
            old_head, new_head = (node_hash(sibling, h, by) for h in (old_head, new_head))
        else:
            new_head = node_hash(new_head, sibling, by)
    if (old_head, new_head) != (old.root, new.root):
        raise ProofInvalidError("the consistency proof does not lead to both roots")


def _verify_trivial(old: TreeHead, new: TreeHead, path: Sequence[bytes], by: str) -> None:
    """Check what needs no proof: an empty tree begins every tree, and each tree itself."""
    if path:
        raise ProofInvalidError("the consistency proof is too long")
    if old.root != (new.root if old.size == new.size else hashlib.new(by).digest()):
        raise ProofInvalidError("two roots of one size differ")


def _climb(place: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of a path with whether it stands left of the way up to the root.

    Args:
        place: The node's place on its level, from 0.
        last: The place of the last node of that level.

    Raises:
        ProofInvalidError: The path is longer or shorter than the way.
    """
    for sibling in path:
        if last == 0:
            raise ProofInvalidError("the proof is too long")
        is_left = bool(place & 1) or place == last
        yield sibling, is_left
        while is_left and place and not place & 1:  # a last node is carried up without a sibling
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalidError("the proof is too short")


def _left(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)
