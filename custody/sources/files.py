"""Opening a file so that a link cannot lead elsewhere and nothing but a regular file is read."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from custody.sources.reader import SourceError

_BLOCK = 1 << 20

State = tuple[int, int, int, int]


def open_regular(location: str, name: str) -> BinaryIO:
    """Open the regular file at ``location`` for the source called ``name``.

    The last part of the path must not be a symbolic link; a device, pipe or folder is refused
    before a byte of it is read.

    Raises:
        SourceError: It is not there, not readable, or not a regular file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(Path(location), flags)
    except (OSError, ValueError):
        raise SourceError("cannot be opened, or is a symbolic link", name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError("not a regular file", name)
    return os.fdopen(descriptor, "rb", buffering=_BLOCK)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the system says while a file is read into a SourceError, without the path in it."""
    try:
        yield
    except OSError:
        raise SourceError("cannot be read", name) from None


def state_of(file: BinaryIO) -> State:
    """Return what changes when somebody writes to the file."""
    now = os.fstat(file.fileno())
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


def require_unchanged(file: BinaryIO, before: State, name: str) -> None:
    """Raise SourceError if the file was written to since ``before``."""
    if state_of(file) != before:
        raise SourceError("the file changed while it was read", name)


def feed(file: BinaryIO, update: Callable[[bytes], object]) -> None:
    """Feed the whole file to ``update``, block by block."""
    file.seek(0)
    while block := file.read(_BLOCK):
        update(block)
