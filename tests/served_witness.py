"""A witness that answers over HTTP for a block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from custody.outside.witness import Witness
from custody.outside.witness_client import WitnessPlace
from custody.outside.witness_server import WitnessServer


@contextmanager
def served(witness: Witness, now: Callable[[], datetime]) -> Iterator[WitnessPlace]:
    """Serve it on a port of this machine, and return where, with its key."""
    with WitnessServer(("127.0.0.1", 0), witness, now) as server:
        answering = threading.Thread(target=server.serve_forever, args=(0.01,))
        answering.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            yield WitnessPlace(url=url, key=witness.key)
        finally:
            server.shutdown()
            answering.join()
