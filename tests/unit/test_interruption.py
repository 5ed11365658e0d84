"""Ctrl-C that something swallowed is found behind every run."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tasks import interruption


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(interruption, "_noted", False)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def swallow(number: signal.Signals) -> None:
    """Do what Prefect does with whatever is raised once a run is final."""
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_swallowed_is_raised_behind_the_run(number: signal.Signals) -> None:
    interruption.note_interruptions()
    interruption.require_uninterrupted()
    swallow(number)
    with pytest.raises(KeyboardInterrupt):
        interruption.require_uninterrupted()


def test_a_careless_process_forgets_it() -> None:
    """The naive twin: Python's own handler raises once, and nothing is left of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    swallow(signal.SIGINT)
    interruption.require_uninterrupted()
