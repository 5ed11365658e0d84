"""Eight processes, 80,000 seals under one key: no nonce comes twice (threats T9).

Spawned ones begin anew, as workers do. Forked ones come from a process that has made seals already,
the way to have them share a state.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawing_nonces import KEY, PROCESSES, SEALS

from custody.suites import AES_256_GCM, NONCE_BYTES

PROGRAM = Path(__file__).with_name("drawing_nonces.py")
PATIENCE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What eight processes drew.

    Attributes:
        begun: How their seals begin: format, suite, key id and commitment.
        counts: How many nonces each drew, by its process id.
        started: Which processes were started.
        parent: Which process started them.
    """

    nonces: list[str]
    begun: set[str]
    counts: dict[int, int]
    started: list[int]
    parent: int


def of_processes(method: str, source: str) -> Drawn:
    """Return the nonces that eight processes draw, forked or spawned."""
    program = [sys.executable, str(PROGRAM), method, source]
    done = subprocess.run(program, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    told = json.loads(done.stdout)
    drawn = told["drawn"]
    return Drawn(
        nonces=[nonce for one in drawn for nonce in one["nonces"]],
        begun={begun for one in drawn for begun in one["begun"]},
        counts={one["pid"]: len(one["nonces"]) for one in drawn},
        started=told["started"],
        parent=told["parent"],
    )


def require_eight_processes_under_one_key(drawn: Drawn) -> None:
    """Check that eight processes, none of them the parent, each made all its seals, of one key."""
    assert sorted(drawn.counts) == drawn.started
    assert len(drawn.counts) == PROCESSES == 8
    assert drawn.parent not in drawn.counts
    assert set(drawn.counts.values()) == {SEALS} == {10_000}
    assert len(drawn.nonces) == 80_000
    assert drawn.begun == {KEY.halves(AES_256_GCM)[1].hex()}


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("source", ["own", "pooled"])
def test_no_nonce_comes_twice_in_eight_processes(source: str, method: str) -> None:
    drawn = of_processes(method, source)
    require_eight_processes_under_one_key(drawn)
    assert len(set(drawn.nonces)) == len(drawn.nonces)
    assert {len(nonce) for nonce in drawn.nonces} == {2 * NONCE_BYTES}


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_careless_source_repeats_itself_in_some_of_them(method: str) -> None:
    """The naive twin: a generator seeded where the module is loaded goes on alike in all of them.

    Whether it was loaded before the fork, or anew in each spawned process.
    """
    drawn = of_processes(method, "careless")
    require_eight_processes_under_one_key(drawn)
    assert len(set(drawn.nonces)) < len(drawn.nonces)
