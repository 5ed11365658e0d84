"""Measuring: wall clock and the CPU of client and server, several times, medians with ranges."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MICRO: Final = 1_000_000
# utime, stime, and those of children that ended (proc(5)), counted from the parent's number.
_OWN: Final = slice(10, 12)
_OWN_AND_ENDED: Final = slice(10, 14)
_REAPED_SECONDS: Final = 0.05  # until the postmaster has noticed a session's end


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run of something took, in seconds."""

    wall: float
    client: float
    server: float

    @property
    def cpu(self) -> float:
        """The CPU of client and server together."""
        return self.client + self.server


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """The costs of several runs of the same thing on ``rows`` rows."""

    rows: int
    costs: Sequence[Cost]

    @property
    def wall(self) -> float:
        """The median wall time in seconds."""
        return median(one.wall for one in self.costs)

    @property
    def cpu_per_row(self) -> float:
        """The median CPU of client and server per row, in microseconds."""
        return median(one.cpu for one in self.costs) / self.rows * _MICRO

    @property
    def rate(self) -> float:
        """Rows a second by wall time, at the median."""
        return self.rows / self.wall

    @property
    def spread(self) -> tuple[float, float]:
        """The fewest and the most microseconds of CPU per row."""
        found = [one.cpu / self.rows * _MICRO for one in self.costs]
        return min(found), max(found)


class Meter:
    """Reads clocks before and after; the server's CPU is that of all processes of one cluster."""

    def __init__(self, cluster: Path | None = None) -> None:
        """Take the data directory of the cluster, None where nothing is asked of a server."""
        self._cluster = cluster

    def measure(self, work: Callable[[], object]) -> Cost:
        """Return what ``work`` took."""
        server, client, wall = self._server(), time.process_time(), time.monotonic()
        work()
        wall, client = time.monotonic() - wall, time.process_time() - client
        time.sleep(_REAPED_SECONDS if self._cluster else 0)
        return Cost(wall=wall, client=client, server=self._server() - server)

    def _server(self) -> float:
        """Return the CPU seconds of the postmaster, its ended and its living children."""
        if self._cluster is None:
            return 0.0
        lines = (self._cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        postmaster = int(lines[0])
        ticks = sum(_fields(postmaster)[_OWN_AND_ENDED])
        for child in _children(postmaster):
            with suppress(OSError, IndexError):
                ticks += sum(_fields(child)[_OWN])
        return ticks / _TICKS


def _fields(number: int) -> list[int]:
    """Return the numeric fields of a process's status, from the fourth on."""
    text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    return [int(one) for one in text.rpartition(")")[2].split()[1:]]


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            if _fields(int(entry.name))[0] == parent:
                yield int(entry.name)
