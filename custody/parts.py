r"""Parts of a bulk act: what was done to each single record, so that one can be proved by itself.

A bulk act is one entry of the ledger. What it did to each record is a leaf of a tree of its own
(RFC 6962), whose root and size stand in the entry; the leaves lie beside it in one array, sorted,
so that a place says nothing.

    part    = {"record":"<32 hexadecimal digits>","version":n}
    opening = SHA-256("custody/part/v1\0" ‖ salt, 16 bytes ‖ act, 16 bytes ‖ record, 16 bytes)
    leaf    = SHA-256(0x00 ‖ opening ‖ part)

``act`` is random and stands in the entry. ``salt`` is random, of one customer, and lies sealed in
each record of that customer beside the alias. Whoever is given an opening can check that part and
no other; once the customer is erased nobody can make one, and the leaf is a number like any other
that keeps the proofs of its neighbours whole.
"""

import os
from hashlib import sha256
from typing import Final
from uuid import UUID

from custody.merkle import leaf_hash, root_of_leaves
from custody.randomness import Randomness

HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
_ACT_BYTES: Final = 16
_ALIAS_DIGITS: Final = 16
_OPENING: Final = b"custody/part/v1\0"


class Parts:
    """The parts of one act, collected while it is done."""

    def __init__(self, randomness: Randomness = os.urandom) -> None:
        """Begin without any."""
        self.act = randomness(_ACT_BYTES)
        self._leaves: list[bytes] = []

    def add(self, salt: bytes, record: UUID, version: int) -> None:
        """Add what is done to a record."""
        self._leaves.append(part_leaf(opening_of(salt, self.act, record), record, version))

    def array(self) -> bytes | None:
        """Return the leaves as they are kept, None where there are none."""
        return b"".join(sorted(self._leaves)) or None

    def facts(self) -> dict[str, object]:
        """Return what the entry says of them; nothing where there are none."""
        if not self._leaves:
            return {}
        root = root_of_leaves(sorted(self._leaves))
        said = {"act": self.act.hex(), "count": len(self._leaves), "root": root.hex()}
        return {"parts": said}


def opening_of(salt: bytes, act: bytes, record: UUID) -> bytes:
    """Return what lets somebody check the part of one record in one act."""
    return sha256(_OPENING + salt + act + record.bytes).digest()


def part_leaf(opening: bytes, record: UUID, version: int) -> bytes:
    """Return the leaf of what was done to a record."""
    return leaf_hash(opening + f'{{"record":"{record.hex}","version":{version}}}'.encode())


def split_leaves(array: bytes) -> list[bytes]:
    """Return the leaves of an array, in order."""
    return [array[at : at + HASH_BYTES] for at in range(0, len(array), HASH_BYTES)]


def alias_of(pseudonym: str) -> str:
    """Return the name by which the ledger counts a person, of what a record holds."""
    return pseudonym[:_ALIAS_DIGITS]


def salt_of(pseudonym: str) -> bytes:
    """Return what openings of a person's parts are made of."""
    return bytes.fromhex(pseudonym[_ALIAS_DIGITS:])


def new_pseudonym(randomness: Randomness = os.urandom) -> str:
    """Return a random alias, 16 hexadecimal digits, and a random salt behind it, 32 more."""
    return randomness(_ALIAS_DIGITS // 2 + SALT_BYTES).hex()
