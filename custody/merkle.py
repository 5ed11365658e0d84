"""Merkle tree hashes after RFC 6962, section 2.1, with SHA-256 or, in its place, SM3.

    leaf  = hash(0x00 ‖ entry)             node = hash(0x01 ‖ left ‖ right)

An odd node is carried up unchanged, never doubled, so no two lists of entries share a root.
"""

import hashlib
from collections.abc import Iterable

from custody.canonical import SHA256


def merkle_root(entries: Iterable[bytes], by: str = SHA256) -> bytes:
    """Return the tree head of ``entries`` in their order; memory grows with log2 of their number.

    The stack holds perfect subtrees, largest first: like a binary counter, each new leaf merges
    with its left neighbours of equal size. ``by`` names the hash.
    """
    stack: list[tuple[int, bytes]] = []
    for entry in entries:
        size, head = 1, hashlib.new(by, b"\x00" + entry).digest()
        while stack and stack[-1][0] == size:
            size, head = size * 2, _node(stack.pop()[1], head, by)
        stack.append((size, head))
    return _fold([head for _, head in stack], by)


def _fold(heads: list[bytes], by: str) -> bytes:
    if not heads:
        return hashlib.new(by).digest()
    root = heads.pop()
    while heads:
        root = _node(heads.pop(), root, by)
    return root


def _node(left: bytes, right: bytes, by: str) -> bytes:
    return hashlib.new(by, b"\x01" + left + right).digest()
