"""Eight processes, 80,000 seals under one key: no nonce comes twice (threats T9).

They are forked from one that has made seals already, the way to have them share a state.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import pytest

from custody.randomness import Pool
from custody.seal import HEADER_BYTES, DataKey, seal
from custody.suites import AES_256_GCM, NONCE_BYTES

PROCESSES, SEALS = 8, 10_000
CARELESS = random.Random(7)
POOL = Pool()


def nonces(count: int, randomness: Callable[[int], bytes] | None) -> list[str]:
    """Return the nonces of so many seals under one key."""
    key = DataKey(UUID(int=1), bytes(32))
    more = {} if randomness is None else {"randomness": randomness}
    start = HEADER_BYTES - NONCE_BYTES
    sealed = (seal(key, b"x", (b"context",), AES_256_GCM, **more) for _ in range(count))
    return [one[start:HEADER_BYTES].hex() for one in sealed]


def own(_: int) -> list[str]:
    return nonces(SEALS, None)


def pooled(_: int) -> list[str]:
    return nonces(SEALS, POOL)


def careless(_: int) -> list[str]:
    return nonces(SEALS, CARELESS.randbytes)


def main(name: str) -> None:
    """Print what forked processes draw, one list each; in a process without a test runner."""
    draw = {"own": own, "pooled": pooled, "careless": careless}[name]
    assert draw(0), "a state that is there before the fork"
    context = get_context("fork")
    together = context.Barrier(PROCESSES)
    with context.Pool(PROCESSES, together.wait) as pool:
        print(json.dumps(pool.map(draw, range(PROCESSES), chunksize=1)))  # noqa: T201


def of_forked_processes(name: str) -> list[str]:
    """Return the nonces that forked processes draw."""
    folder = str(Path(__file__).parent)
    program = (
        f"import sys; sys.path.insert(0, {folder!r}); import test_nonces as t; t.main({name!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return [nonce for part in json.loads(done.stdout) for nonce in part]


@pytest.mark.parametrize("source", ["own", "pooled"])
def test_no_nonce_comes_twice_in_eight_processes(source: str) -> None:
    found = of_forked_processes(source)
    assert len(found) == PROCESSES * SEALS
    assert len(set(found)) == len(found)
    assert {len(nonce) for nonce in found} == {2 * NONCE_BYTES}


def test_a_careless_source_repeats_itself_in_some_of_them() -> None:
    """The naive twin: a generator seeded before the fork goes on alike in all of them."""
    found = of_forked_processes("careless")
    assert len(found) == PROCESSES * SEALS
    assert len(set(found)) < len(found)
