"""Turning keys: erasures become final and nobody else loses a key, killed or raced (T10, T23)."""

from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from dying import Killed, dying_at
from everything import count_opening, rows_of, values_of
from house import TESTER, Site, copied, destroy, plan_all, take_in, take_keystore
from racing import (
    SAME_QUARTER,
    claimed_plan,
    contract,
    contracts_file,
    errors,
    miscounted,
    race,
    settled_contracts,
    unsound,
)

from custody.acts.context import Custody
from custody.acts.destroy import erase_chunk
from custody.acts.keeping import key_standing, rotate_root, undone_by_backup
from custody.acts.store import finish_store, store_chunk
from custody.acts.turning import EVENTS, turn_keys
from custody.acts.verify import verify_installation
from custody.database import buckets
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys import turning
from custody.keys.root import RootUnavailableError
from custody.seal import KeyMissingError, SealInvalidError

RACES = 300
STEPS = (
    "turn:begun",
    "turn:keys-made",
    "turn:bucket-rewrapped",
    "turn:bucket-advanced",
    "rotate:root-created",
    "replace:renamed",
    "rotate:keystore-written",
    "rotate:root-destroyed",
    "rotate:settled",
    "turn:keys-destroyed",
    "key:turn:completed:before-commit",
)


def test_after_an_erasure_and_a_turn_no_copy_of_both_databases_opens_it(
    site: Site, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    with site.opened() as custody:
        people = settled_contracts(custody, tmp_path, 6, SAME_QUARTER)
        before = values_of(custody)
        victim = {row.id for row in rows_of(custody) if row.customer_id == people[2]}
    assert len(victim) == 2
    with copied(postgres, site, tmp_path) as copy:
        with site.opened() as custody:
            assert destroy(custody, plan_all(custody, people[2])) is not None
        with copy.opened() as then:
            assert count_opening(then, victim) == 2, (
                "the control: with the keystore of then it opens"
            )
        take_keystore(site, copy)
        with copy.opened() as now:
            assert count_opening(now, victim) == 2, "before the turn the erasure is not final"
        with site.opened() as custody:
            receipt = turn_keys(custody, TESTER)
            assert receipt is not None
            assert receipt.destroyed > 0
            left = values_of(custody)
            verify_installation(custody, deep=True)
        take_keystore(site, copy)
        with copy.opened() as now:
            assert count_opening(now, victim) == 0
    assert left == {key: one for key, one in before.items() if key not in victim}


def test_a_second_turn_finds_nothing_to_do_and_all_turns_every_bucket(
    site: Site, tmp_path: Path
) -> None:
    with site.opened() as custody:
        people = settled_contracts(custody, tmp_path, 5, SAME_QUARTER)
        assert turn_keys(custody, TESTER) is None, "nothing was deleted yet"
        destroy(custody, plan_all(custody, people[0]))
        assert _dirty(custody) > 0
        first = turn_keys(custody, TESTER)
        assert first is not None
        assert _dirty(custody) == 0
        assert turn_keys(custody, TESTER) is None
        whole = turn_keys(custody, TESTER, everything=True)
        assert whole is not None
        assert whole.buckets == sum(one.buckets for one in key_standing(custody).buckets)
        assert whole.keys == sum(one.keys for one in key_standing(custody).buckets) > 0
        assert whole.destroyed == whole.buckets
        assert events(custody)[-2:] == list(EVENTS)


def _dirty(custody: Custody) -> int:
    return sum(one.dirty for one in key_standing(custody).buckets)


def events(custody: Custody) -> list[str]:
    with transaction(custody.data) as connection:
        return [one.event for one in read_entries(connection) if one.event in EVENTS]


def test_a_keystore_from_before_a_turn_undoes_it_and_is_named(site: Site, tmp_path: Path) -> None:
    with site.opened() as custody:
        people = settled_contracts(custody, tmp_path, 2, SAME_QUARTER)
        today = datetime.now(custody.zone).date()  # the ledger has the database's clock
        assert undone_by_backup(custody, today) == []
        destroy(custody, plan_all(custody, people[0]))
        done = turn_keys(custody, TESTER)
        assert done is not None
        (undone,) = undone_by_backup(custody, today)
        assert (undone.event, undone.destroyed) == (EVENTS[1], done.destroyed)
        with dying_at("turn:keys-destroyed") as death:
            turn_keys(custody, TESTER, everything=True)
        assert death.came
        assert [one.event for one in undone_by_backup(custody, today)] == [EVENTS[1], EVENTS[0]]
        (cut_off,) = undone_by_backup(custody, today + timedelta(days=1))
        assert cut_off.event == EVENTS[0], "its keys may have gone on any day since"
        turn_keys(custody, TESTER)
        assert [one.event for one in undone_by_backup(custody, today)] == [EVENTS[1]] * 2
        assert undone_by_backup(custody, today + timedelta(days=1)) == []


def test_the_key_of_a_day_goes_once_its_batches_are_gone(site: Site, tmp_path: Path) -> None:
    with site.opened() as custody:
        settled_contracts(custody, tmp_path, 2)
        names = custody.keyring.keystore.names
        assert [one for one in names if one.startswith("day/intake/")]
    tomorrow = date(2026, 11, 24)
    with site.opened() as custody:
        custody.keyring.turner.turn(tomorrow)
        left = custody.keyring.keystore.names
        assert not [one for one in left if one.startswith("day/intake/")]
        assert [one for one in left if one.startswith("day/quarantine/")], (
            "it still opens locations"
        )
        verify_installation(custody, deep=True)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_twice_no_key_is_lost(site: Site, tmp_path: Path, step: str) -> None:
    with site.opened() as custody:
        people = settled_contracts(custody, tmp_path, 6, SAME_QUARTER)
        destroy(custody, plan_all(custody, people[0]))
        before = values_of(custody)
    for turn in (1, 2):
        passing = turn if "bucket" in step else 1
        with site.opened() as custody, dying_at(step, passing) as death:
            turn_keys(custody, TESTER, everything=True)
        assert death.came
        with site.opened() as custody:
            assert values_of(custody) == before
            verify_installation(custody, deep=True)
    with site.opened() as custody:
        assert turn_keys(custody, TESTER) is not None
        assert values_of(custody) == before
        assert (_dirty(custody), custody.keyring.keystore.is_ending) == (0, False)
        assert events(custody)[-1] == EVENTS[1]
        assert turn_keys(custody, TESTER) is None
        assert _left_behind(custody) == set()


def _left_behind(custody: Custody) -> set[str]:
    """Return the entries of the keystore whose generation is behind their bucket's."""
    turner = custody.keyring.turner
    with transaction(turner.engine) as connection:
        return turner._stale(connection, custody.today())


def test_a_careless_turn_loses_keys(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive twin: the old key goes as soon as its bucket is wrapped, before the commit."""
    with site.opened() as custody:
        settled_contracts(custody, tmp_path, 6, SAME_QUARTER)

    careful = buckets.rewrap_keys

    def careless(connection: object, ids: object, wrapped: object, generation: int) -> int:
        careful(connection, ids, wrapped, generation)  # type: ignore[arg-type]
        store = opened[0].keyring.keystore
        old = [name for name in store.names if name.startswith("kek/")]
        store.rotate([name for name in old if name.endswith(f"/{generation - 1}")])
        raise Killed

    monkeypatch.setattr(turning.buckets, "rewrap_keys", careless)
    opened: list[Custody] = []
    with site.opened() as custody:
        opened.append(custody)
        with pytest.raises(Killed):
            turn_keys(custody, TESTER, everything=True)
    with site.opened() as custody, pytest.raises((RootUnavailableError, SealInvalidError)):
        values_of(custody)


def test_stores_and_turns_do_not_disturb_each_other(site: Site, tmp_path: Path) -> None:
    """300 races store × turn: four chunks at a time, while every bucket turns."""
    with site.opened(chunk_rows=1) as custody:
        rows = [contract(index) for index in range(RACES)]
        batch = take_in(
            custody, "contract_customers", contracts_file(tmp_path / "p.csv", rows).path
        )
        wrong, turned = [], 0
        for start in range(0, batch.chunks, 4):
            turning, *storing = race(
                start,
                partial(turn_keys, custody, TESTER, everything=True),
                *[
                    partial(store_chunk, custody, TESTER, batch.id, number)
                    for number in range(start, start + 4)
                ],
            )
            wrong += [f"{start}: {error!r}" for error in errors([turning, *storing])]
            turned += turning.value is not None
        finish_store(custody, TESTER, batch.id)
        assert wrong == []
        # The first may come upon an installation without a bucket.
        assert batch.chunks == RACES
        assert turned >= RACES // 4 - 1
        assert miscounted(custody, batch.id) == []
        assert unsound(custody, RACES) == []
        assert len(values_of(custody)) == RACES


def test_erasures_and_turns_do_not_disturb_each_other(site: Site, tmp_path: Path) -> None:
    count = 60
    with site.opened(chunk_rows=500) as custody:
        people = settled_contracts(custody, tmp_path, count, SAME_QUARTER)
        plans = [claimed_plan(custody, customer) for customer in people[: count // 2]]
        wrong = []
        for index, plan in enumerate(plans):
            outcomes = race(
                index,
                partial(erase_chunk, custody, TESTER, plan.id, 0),
                partial(turn_keys, custody, TESTER),
                partial(values_of, custody),
            )
            # Who reads while somebody is erased may find that key gone; nobody else may.
            amiss = errors(outcomes[:2]) + errors(outcomes[2:], KeyMissingError)
            wrong += [f"{index}: {one!r}" for one in amiss]
        assert wrong == []
        assert unsound(custody, count) == []
        turn_keys(custody, TESTER)
        assert {row.customer_id for row in rows_of(custody)} == set(people[count // 2 :])
        values_of(custody)


def test_a_rotated_root_opens_everything_and_the_old_one_nothing(
    site: Site, tmp_path: Path
) -> None:
    with site.opened() as custody:
        settled_contracts(custody, tmp_path, 3, SAME_QUARTER)
        before = values_of(custody)
        old = (site.folder / "keystore.json").read_bytes()
        for step in ("root:ending", "rotate:root-created", "rotate:keystore-written"):
            with dying_at(step) as death:
                rotate_root(custody, TESTER)
            assert death.came
        assert rotate_root(custody, TESTER).generation == 3, "the third of the killed had come far"
        with transaction(custody.data) as connection:
            said = [one.event for one in read_entries(connection)][-5:]
        assert said == ["key:root:ending"] * 4 + ["key:root:rotated"]
        assert values_of(custody) == before
    (site.folder / "keystore.json").write_bytes(old)
    with pytest.raises(RootUnavailableError), site.opened():
        pass
