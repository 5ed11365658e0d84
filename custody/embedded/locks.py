"""Advisory file locks, which the kernel lets go of when their last holder is gone.

A process number in a file can be stale or belong to somebody else by now; a lock cannot. So every
question about who uses a service, and whether it runs, is asked of a lock:

======================  =================================  =====================================
file                    held shared by                     held exclusively by
======================  =================================  =====================================
``<service>.lease``     every process that uses it         its warden, while it stops it
``<service>.start``                                        whoever starts it
``<service>.alive``                                        its warden and all of its processes
======================  =================================  =====================================
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.01


class LockTimeoutError(TimeoutError):
    """A lock was not to be had in time."""


def open_lock(path: Path) -> int:
    """Open (and create) the lock file and return its descriptor, closed on exec."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock if nobody is in the way, and say whether it was taken."""
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Let the lock go, also for processes that inherited the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def wait_for_lock(descriptor: int, *, seconds: float, shared: bool = False) -> None:
    """Take the lock, waiting for at most ``seconds``.

    Raises:
        LockTimeoutError: Somebody else kept it all the time.
    """
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor, shared=shared):
        if time.monotonic() > deadline:
            raise LockTimeoutError
        time.sleep(POLL_SECONDS)


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock exclusively; asking disturbs no other asker."""
    if not path.exists():
        return False
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock exclusively for the length of a block."""
    descriptor = open_lock(path)
    try:
        wait_for_lock(descriptor, seconds=seconds)
        yield
    finally:
        os.close(descriptor)
