"""Ctrl-C that is not lost.

Prefect drops whatever is raised once a run's state is final, and waits up to two seconds for its
heartbeat just then. An interruption that falls there would be forgotten, and the command would go
on to its end. So the signal is noted down, and looked for behind every run.
"""

import signal
from types import FrameType

_noted = False


def note_interruptions() -> None:
    """Have Ctrl-C and SIGTERM raise KeyboardInterrupt in the main thread, and be noted down."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def require_uninterrupted() -> None:
    """Raise the interruption that was swallowed, if there was one.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C, or asked this process to end.
    """
    if _noted:
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _noted  # noqa: PLW0603 - a process is interrupted once
    _noted = True
    raise KeyboardInterrupt
