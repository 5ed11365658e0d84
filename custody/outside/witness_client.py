"""Asking a witness: for its cosignature, and for the last checkpoint it knows."""

import http.client
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from threading import Timer
from typing import Final
from urllib.parse import urlsplit

from custody.checkpoint import CheckpointContradictedError, read_size, write_submission
from custody.errors import CustodyError
from custody.merkle import TreeHead
from custody.note import MOST_BYTES, Note, NoteInvalidError, VerifierKey, cosigned_at, parse_note
from custody.outside.witness import NotCosignedError
from custody.outside.witness_server import ADD, LAST

_SECONDS: Final = 3.0  # for one question, whatever it does meanwhile
_TRIES: Final = 3
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class WitnessUnreachableError(CustodyError):
    """Nothing that is a witness answers there."""

    code = "witness_unreachable"

    def __str__(self) -> str:
        """Return that it does not answer; the address may hold a password."""
        return "the witness does not answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class WitnessPlace:
    """Where a witness answers, and the key it cosigns with."""

    url: str
    key: VerifierKey

    def cosigned(
        self, note: Note, head: TreeHead, prove: Callable[[int], Sequence[bytes]], last: int
    ) -> Note:
        """Return the checkpoint with the witness's cosignature.

        Args:
            note: The checkpoint, signed by the log.
            head: What it says.
            prove: Returns the consistency proof from an older size to this one.
            last: The size of the last checkpoint it is known to have cosigned.

        Raises:
            CheckpointContradictedError: It knows a larger tree, or one that this does not extend.
            NotCosignedError: It refuses for another reason.
            WitnessUnreachableError: It does not answer, or not as a witness.
        """
        for _ in range(_TRIES):
            path = prove(last) if last else ()
            status, answer = self._ask("POST", ADD, write_submission(last, path, note))
            if status == HTTPStatus.OK:
                return self._joined(note, answer)
            if status == HTTPStatus.UNPROCESSABLE_ENTITY:
                raise CheckpointContradictedError(last, "the witness")
            if status in _REFUSALS:
                raise NotCosignedError(status)
            if status != HTTPStatus.CONFLICT:  # a proxy's, most likely
                raise WitnessUnreachableError
            known = self._size(answer)
            if known > head.size or known == last:
                raise CheckpointContradictedError(known, "the witness")
            last = known
        raise NotCosignedError(HTTPStatus.CONFLICT)

    def last(self, origin: str) -> Note | None:
        """Return the last checkpoint it cosigned of a log, None where it knows none.

        Raises:
            NoteInvalidError: What it answers is not cosigned by its key.
            WitnessUnreachableError: It does not answer, or not as a witness.
        """
        status, answer = self._ask("GET", LAST + sha256(origin.encode()).hexdigest())
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise WitnessUnreachableError
        note = parse_note(answer)
        cosigned_at(note, self.key)
        return note

    def _joined(self, note: Note, answer: bytes) -> Note:
        """Return the note with the lines of the answer that are the witness's."""
        try:
            joined = parse_note(str(note).encode() + answer)
            cosigned_at(joined, self.key)
        except NoteInvalidError:
            raise WitnessUnreachableError from None
        own = f"— {self.key.name} "
        lines = (one for one in joined.lines[len(note.lines) :] if one.startswith(own))
        return Note(text=note.text, lines=(*note.lines, *lines))

    def _size(self, answer: bytes) -> int:
        try:
            return read_size(answer.decode("ascii").removesuffix("\n"))
        except (NoteInvalidError, UnicodeDecodeError):
            raise WitnessUnreachableError from None

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        address = urlsplit(self.url)
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=_SECONDS)
        cut_off = Timer(_SECONDS, _cut_off, (connection,))
        cut_off.start()
        try:
            connection.request(method, address.path.rstrip("/") + path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read(MOST_BYTES)
        except (OSError, http.client.HTTPException):
            raise WitnessUnreachableError from None
        finally:
            cut_off.cancel()
            connection.close()


def _cut_off(connection: http.client.HTTPConnection) -> None:
    """End a connection that drips: a timeout of its own counts for each byte anew."""
    if connection.sock is not None:
        with suppress(OSError):  # it ended by itself
            connection.sock.shutdown(socket.SHUT_RDWR)
