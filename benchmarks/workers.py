"""Loading in processes of their own, as workers do: what each used, and the most memory it held."""

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from benchmarks.ground import ACTOR, Ground, open_again
from benchmarks.measure import Cost
from custody.acts import batches, store, taking
from custody.acts.setup import Places
from custody.quality.engine import warm_up

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_KIBI: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What one stage of a load took.

    Attributes:
        wall: Seconds from the start of the first worker's work to the end of the last one's.
        client: CPU seconds of all workers; what they import is not counted.
        server: CPU seconds of the server.
        wal: Bytes of write-ahead log.
        memory: The most megabytes that any worker held, with everything it imported.
    """

    wall: float
    client: float
    server: float
    wal: int
    memory: float

    def with_costs(self, *costs: Cost) -> "Load":
        """Return the load with what was done for it before and after."""
        return Load(
            wall=self.wall + sum(one.wall for one in costs),
            client=self.client + sum(one.client for one in costs),
            server=self.server + sum(one.server for one in costs),
            wal=self.wal,
            memory=self.memory,
        )


def load(ground: Ground, stage: str, batch_id: UUID, workers: int) -> Load:
    """Run a stage on a batch in so many spawned processes, warm before the clock starts."""
    spawning = multiprocessing.get_context("spawn")
    pipes = [spawning.Pipe() for _ in range(workers)]
    processes = [
        spawning.Process(target=_work, args=(there, ground.places, stage, batch_id), daemon=True)
        for _, there in pipes
    ]
    for one in processes:
        one.start()
    for _, there in pipes:  # so that a worker's death is heard
        there.close()
    ends = [here for here, _ in pipes]
    _hear(ends)  # all are warm
    wal = ground.wal_position()
    for one in ends:
        one.send("go")
    told: list[tuple[float, float]] = []
    cost = ground.meter.measure(lambda: told.extend(_hear(ends)))
    for one in processes:
        one.join()
    return Load(
        wall=cost.wall,
        client=sum(client for client, _ in told),
        server=cost.server,
        wal=ground.wal_position() - wal,
        memory=max(memory for _, memory in told),
    )


def _hear(ends: Sequence["Connection[object, tuple[float, float]]"]) -> list[tuple[float, float]]:
    """Return what every worker says.

    Raises:
        EOFError: One is dead.
    """
    return [one.recv() for one in ends]


def _work(
    end: "Connection[tuple[float, float], str]", places: Places, stage: str, batch_id: UUID
) -> None:
    with open_again(places) as custody:
        warm_up()
        batch = batches.require_batch(custody, batch_id)
        end.send((0.0, 0.0))
        end.recv()
        before = time.process_time()
        if stage == "ingest":
            taking.take_chunks(custody, ACTOR, batch, range(batch.chunks))
        else:
            store.store_chunks(custody, ACTOR, batch, range(batch.chunks))
        used = time.process_time() - before
        end.send((used, _peak()))


def _peak() -> float:
    """Return the most megabytes this process has held since it was executed.

    What getrusage(2) says begins with what the parent held when it was forked off.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (held,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(held) / _KIBI
