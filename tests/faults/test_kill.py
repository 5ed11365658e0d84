"""Killed at any named step and run again, the end state is that of an uninterrupted run (T17).

Every step of the story is tried alone (about 160), and some installations are killed thirty times
each on their way to the end: more than 200 points altogether.
"""

import os
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fingerprint import fingerprint
from house import Site, copied, founded
from sqlalchemy import Connection
from story import Act, chapters, remembered, write_files

from custody.database import batches as tables
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import QualityGateError
from custody.quality import check
from custody.steps import observed_by

SEED = 20261123
CHAPTERS, CHAINS, FIRST_GAP, FEWEST_KILLS = 8, 2, 4, 40
POINTS = 200
STEPS = (
    "batch:key-written", "batch:ingest:opened:before-commit", "batch:opened",
    "ingest:chunk-examined", "chunk:ingest:completed:before-commit", "ingest:chunk-written",
    "consents:keys-written", "chunk:consents:recorded:before-commit", "consents:chunk-written",
    "batch:ingest:completed:before-commit", "batch:ingest-closed",
    "store:drafted", "store:keys-written", "store:periods-opened",
    "chunk:store:completed:before-commit", "store:chunk-stored",
    "batch:store:completed:before-commit", "store:intake-key-deleted", "store:batch-closed",
    "endings:keys-retired", "endings:survivors-resealed", "endings:keys-deleted",
    "key:data:deleted:before-commit", "endings:struck-off",
    "consent:withdrawn", "hold:set", "retention:started",
    "plan:destroy:written:before-commit", "plan:written",
    "plan:destroy:begun:before-commit", "claim:plan-begun",
    "erase:keys-retired", "record:data:deleted:before-commit", "erase:rows-deleted",
    "verify:absent", "certificate:destroy:issued:before-commit", "certify:issued",
)  # fmt: skip
"""Steps that the story must pass, or the sweep proves too little."""


@dataclass
class Told:
    """The story, told once without interruption: where each chapter begins, what it comes to."""

    acts: Sequence[tuple[str, Act]]
    before: list[Site] = field(default_factory=list)
    steps: list[list[str]] = field(default_factory=list)
    after: list[Mapping[str, object]] = field(default_factory=list)


def tell(site: Site, acts: Sequence[tuple[str, Act]]) -> tuple[list[str], dict[str, object]]:
    """Play acts on a site without interruption."""
    names: list[str] = []
    with site.opened() as custody, observed_by(names.append):
        for _, act in acts:
            act(custody)
    with site.opened() as custody:
        return names, fingerprint(custody)


def killed(site: Site, acts: Sequence[tuple[str, Act]], at: int) -> bool:
    """Play acts in a process that is killed at the given step; return False if it came through."""
    child = os.fork()
    if child == 0:
        _play_until(site, acts, at)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _play_until(site: Site, acts: Sequence[tuple[str, Act]], at: int) -> None:
    left = at

    def count_down(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    code = 1
    try:
        with site.opened() as custody, observed_by(count_down):
            for _, act in acts:
                act(custody)
        code = 0
    finally:
        os._exit(code)


@pytest.fixture(scope="module")
def told(_templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Tell the story once; keep a site as it was before each chapter."""
    folder = tmp_path_factory.mktemp("kill")
    told = Told(acts=chapters(write_files(folder / "files")))
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(check, "run", remembered(check.run))
        site = stack.enter_context(founded(_templates, folder))
        for chapter in told.acts:
            told.before.append(stack.enter_context(copied(_templates, site, folder)))
            steps, state = tell(site, [chapter])
            told.steps.append(steps)
            told.after.append(state)
        yield told


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return which parts of two states differ."""
    return [part for part in one if one[part] != other[part]]


def test_the_story_passes_every_named_step(told: Told) -> None:
    assert len(told.acts) == CHAPTERS
    assert sum(map(len, told.steps)) + CHAINS * FEWEST_KILLS >= POINTS
    assert set(STEPS) - {step for steps in told.steps for step in steps} == set()


def test_an_uninterrupted_story_told_again_comes_to_the_same(
    told: Told, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with copied(postgres, told.before[0], tmp_path) as site:
        _, state = tell(site, told.acts)
        assert differences(state, told.after[-1]) == []
        _, again = tell(site, told.acts[:5])
        assert differences(again, told.after[-1]) == []


@pytest.mark.parametrize("chapter", range(CHAPTERS))
def test_killed_at_a_step_and_run_again_it_comes_to_the_same(
    told: Told, postgres: EmbeddedPostgres, tmp_path: Path, chapter: int
) -> None:
    wrong = {}
    for at, step in enumerate(told.steps[chapter]):
        with copied(postgres, told.before[chapter], tmp_path) as site:
            assert killed(site, told.acts[chapter : chapter + 1], at)
            _, state = tell(site, told.acts[chapter:])
        found = differences(state, told.after[-1])
        if found:
            wrong[f"{at}: {step}"] = found
    assert wrong == {}


@pytest.mark.parametrize("seed", range(SEED, SEED + CHAINS))
def test_killed_again_and_again(
    told: Told, postgres: EmbeddedPostgres, tmp_path: Path, seed: int
) -> None:
    chance, kills = random.Random(seed), 0
    with copied(postgres, told.before[0], tmp_path) as site:
        for act in told.acts:
            longest = FIRST_GAP  # grows, for a chapter begun again passes its first steps again
            while killed(site, [act], chance.randint(1, longest)):
                kills, longest = kills + 1, longest + 1
        _, state = tell(site, told.acts)
    assert kills >= FEWEST_KILLS
    assert differences(state, told.after[-1]) == []


def test_a_store_in_two_transactions_loses_rows_which_its_gate_notices(
    told: Told, postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: the intake copy goes in a transaction of its own, a moment before the commit."""
    drop = tables.drop_intake

    def drop_at_once(connection: Connection, *what: object) -> None:
        with connection.engine.begin() as other:
            drop(other, *what)

    monkeypatch.setattr(tables, "drop_intake", drop_at_once)
    chapter = [name for name, _ in told.acts].index("store")
    step = "chunk:store:completed:before-commit"
    with copied(postgres, told.before[chapter], tmp_path) as site:
        assert killed(site, told.acts[chapter:], told.steps[chapter].index(step))
        with pytest.raises(QualityGateError, match="stored_as_accepted"):
            tell(site, told.acts[chapter:])
