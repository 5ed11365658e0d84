"""Eight processes, 80,000 seals under one key: no nonce comes twice (threats T9)."""

from collections.abc import Callable
from multiprocessing import get_context
from uuid import UUID

from custody.seal import HEADER_BYTES, DataKey, seal
from custody.suites import AES_256_GCM, NONCE_BYTES

PROCESSES, SEALS = 8, 10_000


def nonces(randomness: Callable[[int], bytes] | None = None, count: int = SEALS) -> list[bytes]:
    """Return the nonces of so many seals under one key."""
    key = DataKey(UUID(int=1), bytes(32))
    more = {} if randomness is None else {"randomness": randomness}
    start = HEADER_BYTES - NONCE_BYTES
    sealed = (seal(key, b"x", (b"context",), AES_256_GCM, **more) for _ in range(count))
    return [one[start:HEADER_BYTES] for one in sealed]


def _all(_: int) -> list[bytes]:
    return nonces()


def test_no_nonce_comes_twice_in_eight_processes() -> None:
    with get_context("spawn").Pool(PROCESSES) as pool:
        found = [nonce for part in pool.map(_all, range(PROCESSES)) for nonce in part]
    assert len(found) == PROCESSES * SEALS
    assert len(set(found)) == len(found)
    assert {len(nonce) for nonce in found} == {NONCE_BYTES}


def test_a_careless_source_repeats_itself() -> None:
    """The naive twin: processes that were forked with one seed draw the same bytes."""
    import random  # noqa: PLC0415 - only the twin is so careless

    def forked() -> list[bytes]:
        return nonces(random.Random(7).randbytes, 10)

    assert set(forked()) & set(forked())
