"""Checkpoints: the size and root of the ledger's tree, signed, in C2SP's ``tlog-checkpoint`` form.

    custody/inst_…                  the origin, which names the installation
    1234                            how many entries the tree has
    base64(root)                    32 bytes

Whoever kept one can tell later that the ledger still begins with these entries, and no others.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from custody.errors import CustodyError
from custody.identifiers import INSTALLATION, show_id
from custody.merkle import TreeHead
from custody.note import Note, NoteInvalidError, from_base64

_LINES: Final = 3
_ROOT_BYTES: Final = 32
_MOST_DIGITS: Final = 18
MOST_HASHES: Final = 63


class CheckpointContradictedError(CustodyError):
    """The ledger is not the one that a checkpoint is of: older, cut, or another one."""

    code = "checkpoint_contradicted"

    def __init__(self, size: int, where: str) -> None:
        super().__init__(size, where)
        self.size, self.where = size, where

    def __str__(self) -> str:
        """Return which checkpoint it is."""
        return f"the ledger contradicts a checkpoint of {self.size} entries: {self.where}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a checkpoint says."""

    origin: str
    head: TreeHead

    def text(self) -> str:
        """Return what is signed."""
        root = b64encode(self.head.root).decode()
        return f"{self.origin}\n{self.head.size}\n{root}\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownHead:
    """A tree that a verified checkpoint vouches for, and where that checkpoint was kept."""

    head: TreeHead
    where: str


def origin_of(installation: UUID) -> str:
    """Return the name under which an installation's ledger is known."""
    return f"custody/{show_id(INSTALLATION, installation)}"


def read_checkpoint(note: Note) -> Checkpoint:
    """Return what a note says, of which nothing is verified here.

    Raises:
        NoteInvalidError: It is not a checkpoint.
    """
    lines = note.text.split("\n")[:-1]
    if len(lines) != _LINES or not all(lines):
        raise NoteInvalidError("not a checkpoint")
    origin, size, root = lines
    return Checkpoint(origin=origin, head=TreeHead(size=read_size(size), root=read_hash(root)))


def read_size(shown: str) -> int:
    """Return a size from its decimal digits.

    Raises:
        NoteInvalidError: They are not ASCII digits, too many, or begin with a superfluous zero.
    """
    plain = shown.isascii() and shown.isdecimal() and len(shown) <= _MOST_DIGITS
    if not plain or str(int(shown)) != shown:
        raise NoteInvalidError("not a size")
    return int(shown)


def read_hash(shown: str) -> bytes:
    """Return a hash from its base64.

    Raises:
        NoteInvalidError: It is not 32 bytes in base64, in the one way to write them.
    """
    found = from_base64(shown)
    if len(found) != _ROOT_BYTES:
        raise NoteInvalidError("not a hash")
    return found


def write_submission(old_size: int, path: Sequence[bytes], note: Note) -> bytes:
    """Return what is sent to a witness (C2SP ``tlog-witness``): old size, proof, checkpoint."""
    proof = "".join(f"{b64encode(one).decode()}\n" for one in path)
    return f"old {old_size}\n{proof}\n{note}".encode()


def read_submission(written: bytes) -> tuple[int, list[bytes], bytes]:
    """Return the old size, the consistency proof and the checkpoint that were sent to a witness.

    Raises:
        NoteInvalidError: It is not in form.
    """
    before, blank, note = written.partition(b"\n\n")
    try:
        first, *proof = before.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NoteInvalidError("not a submission") from None
    if not blank or not first.startswith("old ") or len(proof) > MOST_HASHES:
        raise NoteInvalidError("not a submission")
    return read_size(first.removeprefix("old ")), [read_hash(one) for one in proof], note
