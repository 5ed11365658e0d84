"""The process that keeps one service running for as long as somebody uses it.

``python -I -m custody.embedded.warden LEASE STOP_SIGNAL GRACE [--using LEASE]… -- COMMAND…``

1. Go on in a session of its own, as nobody's child: Ctrl-C at the terminal does not reach it, and
   whoever started it neither waits for it nor leaves it a zombie.
2. Hold a shared lock on every lease it uses itself (the Prefect server uses PostgreSQL).
3. Start the service; the ``alive`` lock is the standard input of both, so that it is held for as
   long as either exists.
4. Wait until the lease can be locked exclusively: nobody uses the service any more, however
   its last user ended. SIGTERM to the warden has the same effect.
5. Stop the service: the signal, after the grace period once more, in the end SIGKILL; then whatever
   it left behind, which the kernel hands to the warden as the nearest subreaper.

If the warden itself is killed, the kernel signals the service (see ``launch``).
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from custody.embedded.launch import forbid_core_dumps
from custody.embedded.locks import open_lock

PR_SET_CHILD_SUBREAPER = 36
ATTEMPTS = 2
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a warden is to do."""

    lease: Path
    stop_signal: signal.Signals
    grace_seconds: float
    using: tuple[Path, ...]
    command: tuple[str, ...]

    def arguments(self) -> tuple[str, ...]:
        """Return the command line of the warden that does it."""
        program = (sys.executable, "-I", "-m", "custody.embedded.warden")
        using = (part for lease in self.using for part in ("--using", str(lease)))
        first = (str(self.lease), self.stop_signal.name, str(self.grace_seconds))
        return (*program, *first, *using, "--", *self.command)

    @classmethod
    def parse(cls, arguments: list[str]) -> Self:
        """Read the command line back."""
        border = arguments.index("--")
        lease, stop_signal, grace, *using = arguments[:border]
        return cls(
            lease=Path(lease),
            stop_signal=signal.Signals[stop_signal],
            grace_seconds=float(grace),
            using=tuple(map(Path, using[1::2])),
            command=tuple(arguments[border + 1 :]),
        )


def stop(child: subprocess.Popen[bytes], order: Order) -> None:
    """Stop the service and whatever it started."""
    for _ in range(ATTEMPTS):
        child.send_signal(order.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            child.wait(order.grace_seconds)
            break
    child.kill()
    child.wait()
    while left := children_of(os.getpid()):
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(number, 0)


def children_of(parent: int) -> tuple[int, ...]:
    """Return the processes whose parent this is; orphans of the service have become ours."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            # The command in parentheses may hold anything, so fields count from its end.
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
            if int(fields[2].split()[1]) == parent:
                found.append(int(entry.name))
    return tuple(found)


def _wait_until_unused(lease: Path, unused: threading.Event) -> None:
    fcntl.flock(open_lock(lease), fcntl.LOCK_EX)
    unused.set()


def keep(order: Order) -> int:
    """Run the service until nobody uses it, and return its exit code."""
    for lease in order.using:
        fcntl.flock(open_lock(lease), fcntl.LOCK_SH)
    finished = threading.Event()

    def finish(_signal: int, _frame: FrameType | None) -> None:
        finished.set()

    signal.signal(signal.SIGTERM, finish)
    # Standard input is the descriptor of the `alive` lock: the service inherits it.
    child = subprocess.Popen(order.command, process_group=0)  # noqa: S603  (our own command)
    threading.Thread(target=_wait_until_unused, args=(order.lease, finished), daemon=True).start()
    while child.poll() is None and not finished.wait(POLL_SECONDS):
        pass
    stop(child, order)
    return child.returncode


def detach() -> None:
    """Go on in a child that leads its own session; the parent ends here."""
    if os.fork():
        os._exit(0)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    forbid_core_dumps()
    detach()
    sys.exit(keep(Order.parse(sys.argv[1:])))
