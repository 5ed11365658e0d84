"""Named points between two effects, where tests kill the process; in service they do nothing.

A point is reached *after* the effect it names. ``observed_by`` is for tests alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_observer: ContextVar[Callable[[str], None] | None] = ContextVar("observer", default=None)


def reached(step: str) -> None:
    """Tell the observer, if there is one, that ``step`` has taken effect."""
    observer = _observer.get()
    if observer is not None:
        observer(step)


@contextmanager
def observed_by(observer: Callable[[str], None]) -> Iterator[None]:
    """Call ``observer`` at every step of the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
