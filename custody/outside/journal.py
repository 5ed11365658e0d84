"""Checkpoints in files: all of them in one, the last in another beside the keystore.

The journal holds one signed note after another, each ended by its signature lines. What a killed
process left of a note at its end is none: it is not read, and goes when the next one is added.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from custody.durable import append_durably, write_durably
from custody.note import MOST_BYTES, Note, parse_note

_PRIVATE_FOLDER: Final = 0o700
_PRIVATE: Final = 0o600
_SIGNATURE: Final = "— ".encode()
_SIGNATURE_LINE: Final = re.compile(b"^" + _SIGNATURE + rb"[^\n]+\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """Where an installation's checkpoints are kept.

    Attributes:
        everything: The file of all of them, on another path than the database.
        last: The file of the last one, beside the keystore.
    """

    everything: Path
    last: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that adds a checkpoint, for the length of a block."""
        self.everything.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        beside = self.everything.with_name(f"{self.everything.name}.lock")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def add(self, note: Note) -> None:
        """Keep a checkpoint; the caller is alone."""
        written = str(note).encode()
        self._cut_remains()
        append_durably(self.everything, written)
        write_durably(self.last, written)

    def read(self) -> Iterator[Note]:
        """Yield every checkpoint that is kept, the one beside the keystore last.

        Raises:
            NoteInvalidError: Something stands in the journal that is no note.
        """
        if self.everything.exists():
            yield from _notes(self.everything)
        last = self.read_last()
        if last is not None:
            yield last

    def read_last(self) -> Note | None:
        """Return the checkpoint beside the keystore, None where there is none.

        Raises:
            NoteInvalidError: It is no note.
        """
        try:
            return parse_note(self.last.read_bytes())
        except FileNotFoundError:
            return None

    def read_newest(self) -> Note | None:
        """Return the last whole note of the journal, None where there is none.

        Raises:
            NoteInvalidError: It is no note.
        """
        try:
            with self.everything.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - MOST_BYTES, 0))
                written = file.read()
        except FileNotFoundError:
            return None
        whole = written[: _whole(written)]
        begin = whole.rfind(b"\n\n")
        begin = whole.rfind(_SIGNATURE, 0, max(begin, 0))
        begin = whole.find(b"\n", begin) + 1 if begin >= 0 else 0
        return parse_note(whole[begin:]) if whole else None

    def _cut_remains(self) -> None:
        """Take away what stands behind the last whole note."""
        try:
            with self.everything.open("r+b") as file:
                length = file.seek(0, os.SEEK_END)
                begin = max(length - MOST_BYTES, 0)
                file.seek(begin)
                file.truncate(begin + _whole(file.read()))
        except FileNotFoundError:
            return


def _notes(path: Path) -> Iterator[Note]:
    """Yield the whole notes of a file."""
    lines: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            if lines and lines[-1].startswith(_SIGNATURE) and not line.startswith(_SIGNATURE):
                yield parse_note(b"".join(lines))
                lines = []
            lines.append(line)
    rest = b"".join(lines)
    if whole := rest[: _whole(rest)]:
        yield parse_note(whole)


def _whole(written: bytes) -> int:
    """Return up to where whole notes stand: behind the last signature line that has its end."""
    end = 0
    for line in _SIGNATURE_LINE.finditer(written):
        end = line.end()
    return end
