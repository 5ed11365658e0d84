"""Merkle tree hashes after RFC 6962, section 2.1, with SHA-256.

    leaf  = SHA-256(0x00 ‖ entry)          node = SHA-256(0x01 ‖ left ‖ right)

An odd node is carried up unchanged, never doubled, so no two lists of entries share a root.
"""

import hashlib
from collections.abc import Iterable


def merkle_root(entries: Iterable[bytes]) -> bytes:
    """Return the tree head of ``entries`` in their order; memory grows with log2 of their number.

    The stack holds perfect subtrees, largest first: like a binary counter, each new leaf merges
    with its left neighbours of equal size.
    """
    stack: list[tuple[int, bytes]] = []
    for entry in entries:
        size, head = 1, hashlib.sha256(b"\x00" + entry).digest()
        while stack and stack[-1][0] == size:
            size, head = size * 2, _node(stack.pop()[1], head)
        stack.append((size, head))
    return _fold([head for _, head in stack])


def _fold(heads: list[bytes]) -> bytes:
    if not heads:
        return hashlib.sha256().digest()
    root = heads.pop()
    while heads:
        root = _node(heads.pop(), root)
    return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
