"""Processes that use a home, and what of a home is left running."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

PROGRAM = """
import sys, time
from pathlib import Path
from custody.embedded.runtime import Wanted, running
import os

wanted = Wanted(home=Path(sys.argv[1]), environment=dict(os.environ))
with running(wanted, prefect="prefect" in sys.argv, worker="worker" in sys.argv) as where:
    print(where.database_url, where.prefect_api_url, flush=True)
    sys.stdin.read()
"""
START_SECONDS = 90


class Owner:
    """A process that keeps the services of a home running until it is ended."""

    def __init__(self, home: Path, *services: str, as_user: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*as_user, sys.executable, "-c", PROGRAM, str(home), *services],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert len(line) == 2, "it did not come up"
        self.database_url, self.api_url = line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """End in good order, as a command does that is finished."""
        self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode

    def interrupt(self) -> int:
        """Press Ctrl-C: the terminal signals the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(START_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)


def processes_of(home: Path) -> dict[int, str]:
    """Return the processes that work in or were told of the home, apart from zombies and us."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            number = int(entry.name)
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            within = str((entry / "cwd").readlink()).startswith(str(home))
            if number != os.getpid() and (within or os.fsencode(home) in told):
                found[number] = told.partition(b"\0")[0].decode(errors="replace")
    return found


def told_to_processes(home: Path) -> dict[int, bytes]:
    """Return the command line and environment of every process that uses the home."""
    told = {}
    for number in processes_of(home):
        with suppress(OSError):  # it ended meanwhile
            parts = [Path(f"/proc/{number}/{part}").read_bytes() for part in ("cmdline", "environ")]
            told[number] = b"\0".join(parts)
    return told


def wait_until_none_is_left(home: Path, seconds: float = 20) -> dict[int, str]:
    """Return what is still running after the time, at best nothing."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def postmaster_of(home: Path) -> int:
    lines = (home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
    return int(lines[0])


def parent_of(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of everything below the folder that others than its owner could use."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mode & 0o7777
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    }
