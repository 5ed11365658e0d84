"""The encrypted file: age (age-encryption.org/v1), to the recipient's X25519 key, as a stream.

The plain sheet passes through memory piece by piece; only ciphertext is written. The recipient
needs the ``age`` program and the private half of the key, nothing of custody.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it ships no types

from custody.errors import CustodyError, UsageError


class PackageFailedError(CustodyError):
    """The package could not be written; nothing was delivered."""

    code = "fault"

    def __str__(self) -> str:
        """Return the one thing there is to say."""
        return "the package could not be written"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """An encrypted file: its length, and SHA-256 over its ciphertext."""

    size: int
    sha256: str


def parse_recipient(key: str) -> pyrage.x25519.Recipient:
    """Return the recipient's key.

    Raises:
        UsageError: It is not an age X25519 public key.
    """
    try:
        return pyrage.x25519.Recipient.from_str(key)
    except pyrage.RecipientError:
        raise UsageError("not an age public key (age1…)") from None


def encrypt_to(path: Path, key: str, pieces: Iterator[bytes]) -> Sealed:
    """Write the pieces, encrypted to ``key``, into a file and make sure it lies on the disk.

    Raises:
        UsageError: ``key`` is not an age public key.
        PackageFailedError: The encryption failed.
        BaseException: Whatever ``pieces`` raises, unchanged.
    """
    recipient = parse_recipient(key)
    source = _Source(pieces)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        sink = _HashingSink(file)
        try:
            pyrage.encrypt_io(source, sink, [recipient])
        except pyrage.EncryptError:
            raise source.failure or PackageFailedError from None
        if source.failure is not None:
            raise source.failure
        file.flush()
        os.fsync(file.fileno())
    return Sealed(size=sink.size, sha256=sink.hash.hexdigest())


class _Source(io.RawIOBase):
    """The pieces as a file to read; an error on the way is kept, for age would hide it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        """Return True: this is all it can do."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        try:
            while not self._rest:
                self._rest = next(self._pieces)
        except StopIteration:
            return b""
        except BaseException as failure:
            self.failure = failure
            raise
        cut = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:cut], self._rest[cut:]
        return piece


class _HashingSink(io.RawIOBase):
    """A file that hashes what goes through it."""

    def __init__(self, file: io.BufferedWriter) -> None:
        super().__init__()
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Return True: this is all it can do."""
        return True

    def write(self, piece: object) -> int:
        """Pass the piece on."""
        raw = bytes(memoryview(piece))  # type: ignore[arg-type]
        self.hash.update(raw)
        self.size += len(raw)
        self._file.write(raw)
        return len(raw)
