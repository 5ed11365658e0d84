"""A run that fell silent is fenced: nothing is done in its name, whether it comes back or not."""

from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from house import plan_all
from racing import settled_contracts
from sqlalchemy import text

from custody.acts import endings, recording
from custody.acts.context import Actor, Custody
from custody.acts.destroy import claim_plan, erase_chunk
from custody.acts.history import begin_run, end_run, runs_in_ledger
from custody.acts.leases import (
    RunFencedError,
    fence_silent_runs,
    fence_unbegun_runs,
    renew_lease,
)
from custody.acts.recording import record
from custody.acts.turning import turn_keys
from custody.database.engine import transaction
from custody.database.leases import end_lease

DUE = date(2015, 3, 2)
SILENT = 60.0


def begun(custody: Custody, flow: str = "destroy") -> Actor:
    actor = Actor(how="schedule", run_id=str(uuid4()))
    begin_run(custody, actor, flow, {"code": "1"})
    return actor


def fall_silent(custody: Custody, actor: Actor, seconds: int = 61) -> None:
    with transaction(custody.data) as connection:
        silent = "UPDATE run_leases SET seen_at = seen_at - make_interval(secs => :s)"
        connection.execute(text(f"{silent} WHERE run_id = :id"), {"s": seconds, "id": actor.run_id})


def fenced(custody: Custody) -> set[str]:
    return {str(run_id) for run_id in fence_silent_runs(custody, SILENT)}


def counts(custody: Custody) -> tuple[int, int]:
    with transaction(custody.data) as connection:
        rows = connection.execute(text("SELECT count(*) FROM records")).scalar_one()
        entries = connection.execute(text("SELECT count(*) FROM ledger.entries")).scalar_one()
    return rows, entries


def test_only_the_silent_are_fenced(custody: Custody) -> None:
    speaking, silent, ended = begun(custody), begun(custody), begun(custody)
    for one in (silent, ended):
        fall_silent(custody, one)
    with transaction(custody.data) as connection:
        end_lease(connection, UUID(ended.run_id))
    assert fenced(custody) == {silent.run_id}
    assert renew_lease(custody, UUID(speaking.run_id))
    assert not renew_lease(custody, UUID(silent.run_id))
    with pytest.raises(RunFencedError):
        begin_run(custody, silent, "destroy", {})
    fall_silent(custody, speaking, 59)
    assert renew_lease(custody, UUID(speaking.run_id))
    assert fenced(custody) == {silent.run_id}


def test_a_fenced_run_destroys_nothing_and_another_goes_on(
    custody: Custody, tmp_path: Path
) -> None:
    settled_contracts(custody, tmp_path, 3, DUE)
    plan, lost, other = plan_all(custody), begun(custody), begun(custody)
    (chunk,) = claim_plan(custody, lost, plan.id)
    fall_silent(custody, lost)
    assert fenced(custody) == {lost.run_id}
    before = counts(custody)
    for act in (
        lambda: erase_chunk(custody, lost, plan.id, chunk),
        lambda: turn_keys(custody, lost, everything=True),
        lambda: claim_plan(custody, lost, plan_all(custody).id),
    ):
        with pytest.raises(RunFencedError):
            act()
    assert counts(custody)[0] == before[0]
    erase_chunk(custody, other, plan.id, chunk)
    assert counts(custody)[0] == before[0] - 3


def test_the_careless_twin_goes_on_destroying(
    custody: Custody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled_contracts(custody, tmp_path, 3, DUE)
    plan, lost = plan_all(custody), begun(custody)
    (chunk,) = claim_plan(custody, lost, plan.id)
    fall_silent(custody, lost)
    fenced(custody)
    before = counts(custody)
    for module in (recording, endings):
        monkeypatch.setattr(module, "require_lease", lambda *_: None)
    erase_chunk(custody, lost, plan.id, chunk)
    assert counts(custody)[0] == before[0] - 3


def test_a_run_in_the_midst_of_an_act_is_passed_by(custody: Custody) -> None:
    """Its lease is locked until the act is committed: it is alive."""
    actor = begun(custody)
    fall_silent(custody, actor)
    with transaction(custody.data) as connection:
        record(connection, custody, actor, "test:entry:made", {})
        assert fenced(custody) == set()
    assert fenced(custody) == {actor.run_id}


def test_a_run_without_a_lease_does_nothing_and_gets_none_once_fenced(custody: Custody) -> None:
    """Whatever kept it from beginning one: nobody could take it for lost."""
    unbegun = Actor(how="schedule", run_id=str(uuid4()))
    before = counts(custody)
    with pytest.raises(RunFencedError), transaction(custody.data) as connection:
        record(connection, custody, unbegun, "test:entry:made", {})
    known = begun(custody)
    runs = {UUID(one.run_id): "destroy" for one in (unbegun, known)}
    assert fence_unbegun_runs(custody, runs) == {UUID(unbegun.run_id)}
    with pytest.raises(RunFencedError):
        begin_run(custody, unbegun, "destroy", {})
    assert counts(custody)[1] == before[1] + 1
    assert fenced(custody) == {unbegun.run_id}


def test_the_end_of_a_fenced_run_may_still_be_told_and_ends_its_lease(custody: Custody) -> None:
    actor = begun(custody)
    fall_silent(custody, actor)
    assert fenced(custody) == {actor.run_id}
    end_run(custody, actor, "destroy", "CRASHED", {"adopted": 1})
    assert fenced(custody) == set()
    entry = next(one for one in runs_in_ledger(custody) if one.run_id == actor.run_id)
    assert (entry.state, entry.facts["code"], entry.facts["adopted"]) == ("CRASHED", "1", 1)
    with pytest.raises(RunFencedError), transaction(custody.data) as connection:
        record(connection, custody, actor, "test:entry:made", {})


def test_a_runs_end_says_what_it_did(custody: Custody) -> None:
    actor, other = begun(custody), begun(custody)
    with transaction(custody.data) as connection:
        for _ in range(2):
            record(connection, custody, actor, "test:entry:made", {})
        record(connection, custody, other, "test:entry:made", {})
    end_run(custody, actor, "destroy", "COMPLETED", {})
    entry = next(one for one in runs_in_ledger(custody) if one.run_id == actor.run_id)
    assert entry.facts["acts"] == {"test:entry:made": 2}
    assert entry.started_at is not None
    assert entry.ended_at is not None
    assert entry.started_at <= entry.ended_at
