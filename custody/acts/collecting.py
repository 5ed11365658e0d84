"""Keeping Python's cycle collector out of the way while a chunk is worked on.

A chunk makes many values, hardly any in cycles, and lets go of all of them at its end. Looking
through them again and again while they pile up took a quarter of the time of ingest and store.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOCK: Final = threading.Lock()
_inside = 0


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave cycles where they are until the block ends, in whichever thread it ends last."""
    _enter(1)
    try:
        yield
    finally:
        _enter(-1)


def _enter(step: int) -> None:
    global _inside
    with _LOCK:
        was, _inside = _inside, _inside + step
        if not was:
            gc.disable()
        elif not _inside:
            gc.enable()
