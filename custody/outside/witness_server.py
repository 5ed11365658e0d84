"""The witness over HTTP: ``POST /add-checkpoint`` after C2SP ``tlog-witness``, and what it knows.

``GET /checkpoint/<SHA-256 of the origin, in hexadecimal>`` answers with the last checkpoint that
was cosigned of that log, so that a verifier may ask without trusting the log. There is nothing
secret in what it says, and nothing to be gained by asking: TLS and access are a proxy's work.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from custody.note import MOST_BYTES
from custody.outside.witness import NotCosignedError, Witness

ADD: Final = "/add-checkpoint"
LAST: Final = "/checkpoint/"
_SIZE_TYPE: Final = "text/x.tlog.size"
_SECONDS: Final = 10


class WitnessServer(ThreadingHTTPServer):
    """Answers for one witness; one submission at a time."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], witness: Witness, clock: Callable[[], datetime]
    ) -> None:
        """Bind the address.

        Raises:
            OSError: It cannot be had.
        """
        super().__init__(address, _Handler)
        self.witness, self.clock = witness, clock
        self.one_at_a_time = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "custody-witness"
    sys_version = ""
    timeout = _SECONDS

    def do_POST(self) -> None:
        """Cosign a checkpoint, or say why not."""
        length = self.headers.get("Content-Length", "")
        if self.path != ADD:
            self._answer(HTTPStatus.NOT_FOUND)
        elif not (length.isascii() and length.isdecimal()) or int(length) > MOST_BYTES:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._cosign(self.rfile.read(int(length)))

    def do_GET(self) -> None:
        """Tell the last checkpoint of a log."""
        note = None
        if self.path.startswith(LAST):
            note = self.server.witness.last_by_digest(self.path.removeprefix(LAST))
        if note is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, str(note))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Log nothing: who asked is nobody's business."""

    def _cosign(self, submitted: bytes) -> None:
        try:
            with self.server.one_at_a_time:
                line = self.server.witness.add(submitted, self.server.clock)
        except NotCosignedError as error:
            known = "" if error.size is None else f"{error.size}\n"
            self._answer(error.status, known, _SIZE_TYPE if known else "text/plain")
        else:
            self._answer(HTTPStatus.OK, line)

    def _answer(self, status: int, text: str = "", kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind if kind == _SIZE_TYPE else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
