"""Eight processes, 80,000 seals under one key: no nonce comes twice (threats T9).

They are forked from one that has made seals already, the way to have them share a state.
"""

import random
from collections.abc import Callable
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from custody.seal import HEADER_BYTES, DataKey, seal
from custody.suites import AES_256_GCM, NONCE_BYTES

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

PROCESSES, SEALS = 8, 10_000
Randomness: TypeAlias = Callable[[int], bytes]


def nonces(randomness: Randomness | None = None, count: int = SEALS) -> list[bytes]:
    """Return the nonces of so many seals under one key."""
    key = DataKey(UUID(int=1), bytes(32))
    more = {} if randomness is None else {"randomness": randomness}
    start = HEADER_BYTES - NONCE_BYTES
    sealed = (seal(key, b"x", (b"context",), AES_256_GCM, **more) for _ in range(count))
    return [one[start:HEADER_BYTES] for one in sealed]


def _all(barrier: "Barrier", out: "Connection", randomness: Randomness | None) -> None:
    barrier.wait(60)
    out.send(nonces(randomness))


def of_forked_processes(randomness: Randomness | None = None) -> list[bytes]:
    """Return the nonces that processes forked at the same moment draw."""
    assert nonces(randomness, 1), "a state that is there before the fork"
    context = get_context("fork")
    barrier, found = context.Barrier(PROCESSES), list[bytes]()
    pipes = [context.Pipe(duplex=False) for _ in range(PROCESSES)]
    running = [context.Process(target=_all, args=(barrier, out, randomness)) for _, out in pipes]
    for process in running:
        process.start()
    for reader, _ in pipes:
        found.extend(reader.recv())
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    return found


def test_no_nonce_comes_twice_in_eight_processes() -> None:
    found = of_forked_processes()
    assert len(found) == PROCESSES * SEALS
    assert len(set(found)) == len(found)
    assert {len(nonce) for nonce in found} == {NONCE_BYTES}


def test_a_careless_source_repeats_itself_in_each_of_them() -> None:
    """The naive twin: a generator seeded before the fork draws the same bytes in all of them."""
    found = of_forked_processes(random.Random(7).randbytes)
    assert len(set(found)) == len(found) // PROCESSES
