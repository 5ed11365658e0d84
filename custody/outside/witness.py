"""A witness: it keeps the last checkpoint of each log it knows and cosigns only what extends it.

It follows C2SP ``tlog-witness``. Its folder, mode 0700:

    witness.json     its name, and the verifier keys of the logs it knows
    witness.key      its own Ed25519 key, 32 bytes in hexadecimal, mode 0600
    <hex>.note       the last checkpoint it cosigned of a log; hex is SHA-256 of the log's origin

A checkpoint that was cosigned is on the disk before anybody gets the cosignature, and comparing it
with what was there is one step with keeping it, so no two contradicting ones are ever cosigned.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.checkpoint import Checkpoint, read_checkpoint, read_submission
from custody.durable import write_durably
from custody.errors import CustodyError, UsageError
from custody.merkle import ProofInvalidError, TreeHead, verify_consistency
from custody.note import (
    COSIGNATURE,
    SIGNATURE,
    Note,
    NoteInvalidError,
    VerifierKey,
    cosign,
    parse_note,
    require_signed,
)

_PRIVATE_FOLDER: Final = 0o700
_PRIVATE: Final = 0o600
_SETTINGS: Final = "witness.json"
_KEY: Final = "witness.key"
_EMPTY: Final = TreeHead(size=0, root=sha256(b"").digest())


class NotCosignedError(CustodyError):
    """The witness does not cosign; it says so in the way of HTTP.

    Attributes:
        size: How many entries the last checkpoint has that it cosigned, where that is the reason.
    """

    code = "witness_refused"

    def __init__(self, status: int, size: int | None = None) -> None:
        super().__init__(status, size)
        self.status, self.size = status, size

    def __str__(self) -> str:
        """Return the status, and the size where it matters."""
        known = "" if self.size is None else f", it knows a tree of {self.size}"
        return f"the witness did not cosign (status {self.status}{known})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """A witness at work in its folder."""

    folder: Path
    name: str
    private: Ed25519PrivateKey
    logs: dict[str, VerifierKey]

    @classmethod
    def create(cls, folder: Path, name: str) -> Self:
        """Make the folder of a new witness, with a key of its own.

        Raises:
            UsageError: There is one already, or nobody can be called that.
        """
        if (folder / _SETTINGS).exists():
            raise UsageError("there is a witness in this folder already", str(folder))
        private = Ed25519PrivateKey.generate()
        key = VerifierKey.of(name, COSIGNATURE, private)
        try:
            VerifierKey.parse(str(key))
        except NoteInvalidError:
            raise UsageError("a witness's name has neither spaces nor +", name) from None
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        write_durably(folder / _KEY, private.private_bytes_raw().hex().encode())
        made = cls(folder=folder, name=name, private=private, logs={})
        made._write()
        return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a witness's folder.

        Raises:
            UsageError: There is none, or it cannot be read.
        """
        try:
            settings = json.loads((folder / _SETTINGS).read_bytes())
            secret = bytes.fromhex((folder / _KEY).read_text(encoding="ascii"))
            logs = [VerifierKey.parse(one) for one in settings["logs"]]
            name = str(settings["name"])
            private = Ed25519PrivateKey.from_private_bytes(secret)
        except (OSError, ValueError, KeyError, TypeError, NoteInvalidError):
            raise UsageError("no witness in this folder", str(folder)) from None
        by_origin = {one.name: one for one in logs}
        return cls(folder=folder, name=name, private=private, logs=by_origin)

    @property
    def key(self) -> VerifierKey:
        """What others verify its cosignatures with."""
        return VerifierKey.of(self.name, COSIGNATURE, self.private)

    def trust(self, log: VerifierKey) -> None:
        """Cosign the checkpoints of a log from now on.

        Raises:
            UsageError: It is no log's key, or that log has another key already.
        """
        if log.kind != SIGNATURE:
            raise UsageError("not the key of a log")
        if self.logs.get(log.name, log) != log:
            raise UsageError("this log is known under another key", log.name)
        self.logs[log.name] = log
        self._write()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that answers for this folder, for the length of a block.

        Raises:
            UsageError: There is another.
        """
        path = self.folder / "witness.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise UsageError("a witness runs in this folder already") from None
        try:
            yield
        finally:
            os.close(descriptor)

    def add(self, submitted: bytes, clock: Callable[[], datetime]) -> str:
        """Cosign a checkpoint that extends the last one, and return the line that says so.

        1. The submission is in form. 2. The log is known, 3. and signed it. 4. The sender knows
        the last checkpoint. 5. The new tree begins with it. 6. The new one is kept, 7. then
        cosigned. One caller at a time.

        Raises:
            NotCosignedError: One of the steps failed.
        """
        old_size, path, note, checkpoint = self._read(submitted)
        known = self.last(checkpoint.origin)
        last = _EMPTY if known is None else read_checkpoint(known).head
        if old_size > checkpoint.head.size:
            raise NotCosignedError(HTTPStatus.BAD_REQUEST)
        if old_size != last.size:
            raise NotCosignedError(HTTPStatus.CONFLICT, last.size)
        if last.size == checkpoint.head.size and last.root != checkpoint.head.root:
            raise NotCosignedError(HTTPStatus.CONFLICT, last.size)
        try:
            verify_consistency(last, checkpoint.head, path)
        except ProofInvalidError:
            raise NotCosignedError(HTTPStatus.UNPROCESSABLE_ENTITY) from None
        line = cosign(note, self.name, self.private, clock())
        kept = Note(text=note.text, lines=(*note.lines, line))
        write_durably(self._place(checkpoint.origin), str(kept).encode())
        return f"{line}\n"

    def last(self, origin: str) -> Note | None:
        """Return the last checkpoint it cosigned of a log, None where it never did."""
        return self.last_by_digest(sha256(origin.encode()).hexdigest())

    def last_by_digest(self, digest: str) -> Note | None:
        """Return the same, of the log whose origin has this SHA-256."""
        places = {self._place(origin).stem: self._place(origin) for origin in self.logs}
        place = places.get(digest)
        return parse_note(place.read_bytes()) if place is not None and place.exists() else None

    def _read(self, submitted: bytes) -> tuple[int, list[bytes], Note, Checkpoint]:
        try:
            old_size, path, written = read_submission(submitted)
            note = parse_note(written)
            checkpoint = read_checkpoint(note)
        except NoteInvalidError:
            raise NotCosignedError(HTTPStatus.BAD_REQUEST) from None
        log = self.logs.get(checkpoint.origin)
        if log is None:
            raise NotCosignedError(HTTPStatus.NOT_FOUND)
        try:
            signed = require_signed(note, log)
        except NoteInvalidError:
            raise NotCosignedError(HTTPStatus.FORBIDDEN) from None
        # Of all lines only the log's own is kept: anybody can send a checkpoint, and add to it.
        return old_size, path, Note(text=note.text, lines=(signed,)), checkpoint

    def _place(self, origin: str) -> Path:
        return self.folder / f"{sha256(origin.encode()).hexdigest()}.note"

    def _write(self) -> None:
        settings = {"name": self.name, "logs": sorted(map(str, self.logs.values()))}
        write_durably(self.folder / _SETTINGS, json.dumps(settings, indent=1).encode())
