"""Cutting the bytes of a CSV file into records without decoding them.

A comma, a quote and a line end are the same single bytes in UTF-8 and in GB18030, and no byte of a
longer character can be one of them (the second byte of a GB18030 pair is 40-7E or 80-FE, those of
four-byte characters 30-39 and 81-FE). So records are found in bytes and only then decoded, and a
byte offset is enough to start again in the middle of a file. UTF-16 is turned into UTF-8 on the
way.

A quoted field may hold line breaks. Where quoting does not come to a sound end within the longest
record allowed, only its first line counts as broken and the next line starts a new record: one
stray quote must not swallow the customers after it.
"""

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from custody.sources.encodings import Encoding

LONGEST_RECORD: Final = 131_072  # bytes; also the csv module's own limit for a field
MOST_LINES: Final = 200  # of a quoted record; beyond it a stray quote is likelier than a text
_BLOCK: Final = 1 << 16


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record.

    Attributes:
        end: The offset in the file right after it.
        line: Its bytes without the line end, when no quote is in it.
        cells: Its cells, when there was a quote; every character stands for one byte.
        problem: Why it cannot be read; it then has neither line nor cells.
    """

    end: int
    line: bytes = b""
    cells: tuple[str, ...] | None = None
    problem: str | None = None

    def __repr__(self) -> str:
        """Show where it ends and its problem, and nothing of what it holds."""
        return f"Record(end={self.end!r}, problem={self.problem!r})"


_Line = tuple[bytes | None, int]
"""The bytes of a line with its end, None where it was too long to keep; the offset after it."""


def records(file: BinaryIO, encoding: Encoding, start: int) -> Iterator[Record]:
    """Return the records of ``file`` from the offset ``start``; blank lines are no records."""
    lines = _Lines(_lines_of(file, encoding, start))
    for line, end in lines:
        if line is None:
            yield Record(end=end, problem="text_too_long")
        elif not line.strip(b"\r\n"):
            continue
        elif b'"' in line:
            yield _quoted(line, end, lines)
        else:
            yield Record(end=end, line=line.removesuffix(b"\n").removesuffix(b"\r"))


def _quoted(line: bytes, end: int, lines: "_Lines") -> Record:
    taken = _Taken(line, end, lines)
    try:
        cells = next(csv.reader(taken, strict=True))
    except csv.Error:
        lines.put_back(taken.further)
        return Record(end=end, problem="ragged_row")
    return Record(end=taken.end, cells=tuple(cells))


class _Lines:
    """Lines, some of which may be put back."""

    def __init__(self, lines: Iterator[_Line]) -> None:
        self._lines = lines
        self._waiting: deque[_Line] = deque()

    def __iter__(self) -> Iterator[_Line]:
        return self

    def __next__(self) -> _Line:
        return self._waiting.popleft() if self._waiting else next(self._lines)

    def put_back(self, lines: list[_Line]) -> None:
        self._waiting.extendleft(reversed(lines))


class _Taken:
    """The lines one quoted record takes, for the csv module to ask for one after the other."""

    def __init__(self, line: bytes, end: int, lines: _Lines) -> None:
        self.end = end
        self.further: list[_Line] = []
        self._first: bytes | None = line
        self._lines = lines
        self._room = LONGEST_RECORD - len(line)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._first is not None:
            line, self._first = self._first, None
            return line.decode("latin-1")
        taken = next(self._lines)
        self.further.append(taken)
        line_or_none, self.end = taken
        self._room -= len(line_or_none or b"")
        if line_or_none is None or self._room < 0 or len(self.further) >= MOST_LINES:
            raise StopIteration
        return line_or_none.decode("latin-1")


def _lines_of(file: BinaryIO, encoding: Encoding, start: int) -> Iterator[_Line]:
    file.seek(max(start, encoding.mark))
    if encoding.codec.startswith("utf-16"):
        return _wide_lines(file, encoding.codec)
    return _byte_lines(file)


def _byte_lines(file: BinaryIO) -> Iterator[_Line]:
    end = file.tell()
    while line := file.readline(LONGEST_RECORD):
        end += len(line)
        if len(line) < LONGEST_RECORD or line.endswith(b"\n"):
            yield line, end
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_RECORD)
            end += len(line)
        yield None, end


def _wide_lines(file: BinaryIO, codec: str) -> Iterator[_Line]:
    """Yield the lines of a UTF-16 file as UTF-8, with the offsets they have in the file."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    end, rest, dropped, block = file.tell(), "", False, b"?"
    while block:
        block = file.read(_BLOCK)
        *lines, rest = (rest + decoder.decode(block, final=not block)).split("\n")
        for line in lines:
            end += len(f"{line}\n".encode(codec))
            yield None if dropped else _limited(f"{line}\n".encode()), end
            dropped = False
        if len(rest) > LONGEST_RECORD:
            end += len(rest.encode(codec))
            rest, dropped = "", True
    if rest or dropped:
        yield None if dropped else _limited(rest.encode()), end + len(rest.encode(codec))


def _limited(line: bytes) -> bytes | None:
    return line if len(line) <= LONGEST_RECORD else None
