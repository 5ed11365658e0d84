"""The ledger's chain: how an entry's hash comes about, and how a chain is checked.

Entry ``n`` has ``hash = SHA-256(previous hash ‖ "n|microseconds since 1970|event|body")`` with
the line in UTF-8; before the first entry the hash is 32 zero bytes. Changing, removing, swapping
or inserting an entry breaks every later hash. Cutting the tail, or rewriting the whole chain, is
noticed only against a head that was noted elsewhere.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from custody.errors import CustodyError

ZERO: Final = bytes(32)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class LedgerBrokenError(CustodyError):
    """The chain does not verify; the place is the first entry that is not what it was."""

    code = "ledger_broken"

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(seq, why)
        self.seq, self.why = seq, why

    def __str__(self) -> str:
        """Return the entry's number and what is wrong with it."""
        return f"ledger entry {self.seq}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One ledger entry as the database holds it."""

    seq: int
    at: datetime
    event: str
    body: str
    previous: bytes
    hash: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The number and hash of the last entry."""

    seq: int
    hash: bytes


def entry_hash(previous: bytes, seq: int, at: datetime, event: str, body: str) -> bytes:
    """Return the hash of an entry over its predecessor's hash and its own line."""
    microseconds = (at - _EPOCH) // _MICROSECOND
    line = f"{seq}|{microseconds}|{event}|{body}"
    return hashlib.sha256(previous + line.encode()).digest()


def verify_chain(entries: Iterable[Entry], head: Head) -> int:
    """Check every entry in order, then the head, and return how many entries there are.

    Raises:
        LedgerBrokenError: A number is missing, a hash differs, or the head names another end.
    """
    seq, previous = 0, ZERO
    for entry in entries:
        seq += 1
        if entry.seq != seq:
            raise LedgerBrokenError(seq, f"missing; entry {entry.seq} stands in its place")
        if entry.previous != previous:
            raise LedgerBrokenError(seq, "does not follow its predecessor")
        previous = entry_hash(previous, seq, entry.at, entry.event, entry.body)
        if entry.hash != previous:
            raise LedgerBrokenError(seq, "its content is not what was hashed")
    if (head.seq, head.hash) != (seq, previous):
        raise LedgerBrokenError(head.seq, "the head names an entry that is not the last")
    return seq
