"""Eight processes, each with its 10,000 seals under one and the same key; prints what they drew.

A program of its own: what it forks or spawns has no test runner and no threads in it.
"""

import json
import os
import random
import sys
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from uuid import UUID

from custody.randomness import Pool, Randomness
from custody.seal import HEADER_BYTES, DataKey, seal
from custody.suites import AES_256_GCM, NONCE_BYTES

PROCESSES, SEALS = 8, 10_000
PATIENCE_SECONDS = 60
KEY = DataKey(UUID(int=1), bytes(32))
CARELESS = random.Random(7)
POOL = Pool()


def draw(source: str, count: int) -> dict[str, object]:
    """Return the nonces of so many seals, how all of them began, and which process made them."""
    sources: dict[str, tuple[Randomness, ...]] = {
        "own": (),
        "pooled": (POOL,),
        "careless": (CARELESS.randbytes,),
    }
    how = (AES_256_GCM, *sources[source])
    seals = [seal(KEY, b"x", (b"context",), *how) for _ in range(count)]
    start = HEADER_BYTES - NONCE_BYTES
    begun = {one[:start].hex() for one in seals}
    nonces = [one[start:HEADER_BYTES].hex() for one in seals]
    return {"pid": os.getpid(), "begun": sorted(begun), "nonces": nonces}


def work(source: str, together: Barrier, answers: SimpleQueue[dict[str, object]]) -> None:
    """Wait until all the processes are there, then draw."""
    together.wait(PATIENCE_SECONDS)
    answers.put(draw(source, SEALS))


def main(method: str, source: str) -> None:
    """Print what each process drew."""
    draw(source, 1)  # a state that is there before the fork
    context = get_context(method)
    together, answers = context.Barrier(PROCESSES), context.SimpleQueue()
    working = [
        context.Process(target=work, args=(source, together, answers)) for _ in range(PROCESSES)
    ]
    for process in working:
        process.start()
    drawn = [answers.get() for _ in working]
    for process in working:
        process.join(PATIENCE_SECONDS)
    started = sorted(process.pid or 0 for process in working)
    print(json.dumps({"parent": os.getpid(), "started": started, "drawn": drawn}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
