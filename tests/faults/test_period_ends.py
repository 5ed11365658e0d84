"""The end of an expiry period: final for all of them, and nobody held goes (T10, T15, T23)."""

import json
import time
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from dying import dying_at
from everything import count_opening, rows_of, values_of
from house import NOW, TESTER, ZONE, Site, copied, destroy, plan_all, take_in, take_keystore
from racing import (
    errors,
    race,
    settle,
    settled_contracts,
    transactions_file,
    unsound,
)
from sqlalchemy import text
from story import transaction_row

from custody.acts import period_end
from custody.acts.context import Actor, Custody
from custody.acts.endings import finish_endings
from custody.acts.holds import add_hold
from custody.acts.keeping import key_standing
from custody.acts.period_end import close_period, periods_to_end
from custody.acts.store import store_chunk
from custody.acts.subjects import ChangedMeanwhileError
from custody.acts.verify import verify_installation
from custody.database import endings, periods
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.database.periods import list_periods
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import RefusedError, UsageError
from custody.keys.root import RootUnavailableError
from custody.keys.turning import PeriodClosedError
from custody.seal import SealInvalidError
from custody.steps import observed_by, reached

RACES = 300
DUE = date(2021, 12, 10)  # kept five years: until 10 December 2026
PERIOD = "2026Q4"
LATER = datetime(2027, 2, 1, 12, tzinfo=ZONE)
STEPS = (
    "period:closing",
    "period:end:begun:before-commit",
    "period:moves-decided",
    "endings:keys-retired",
    "endings:survivors-resealed",
    "endings:keys-deleted",
    "period:moved-on",
    "period:data:ended:before-commit",
    "period:dropped",
    "period:buckets-closed",
    "rotate:root-created",
    "replace:written",
    "replace:renamed",
    "rotate:keystore-written",
    "rotate:root-destroyed",
    "rotate:settled",
    "turn:keys-destroyed",
    "period:keys-deleted",
    "period:keys:destroyed:before-commit",
)
# One that was killed behind these does not come to them again: what is held lies in another quarter
# by then, the partition is dropped, the old root gone.
ONCE = frozenset(
    {
        "endings:survivors-resealed",
        "endings:keys-deleted",
        "period:moved-on",
        "period:dropped",
        "rotate:settled",
    }
)


def purge(custody: Custody) -> None:
    """Destroy what is due and not held."""
    destroy(custody, plan_all(custody))


def after_the_quarter(site: Site) -> object:
    return site.opened(lambda: LATER)


@pytest.fixture
def people(site: Site, tmp_path: Path) -> list[UUID]:
    """Return six customers, each with a transaction that falls due in the period."""
    with site.opened() as custody:
        return settled_contracts(custody, tmp_path, 6, DUE)


def test_a_period_that_lasts_or_never_was_is_not_ended(site: Site, people: list[UUID]) -> None:
    assert people
    with site.opened() as custody:
        for wrong in (PERIOD, "2020Q1", "open", "2026Q5"):
            with pytest.raises(UsageError):
                close_period(custody, TESTER, wrong)
        assert periods_to_end(custody) == []


def test_what_is_due_and_not_destroyed_yet_keeps_a_period_open(
    site: Site, people: list[UUID]
) -> None:
    with after_the_quarter(site) as custody:
        assert periods_to_end(custody) == [PERIOD]
        with pytest.raises(RefusedError) as refused:
            close_period(custody, TESTER, PERIOD)
        (reason,) = refused.value.reasons
        assert (reason.code, reason.count) == ("period_not_empty", len(people))
        purge(custody)
        assert close_period(custody, TESTER, PERIOD).destroyed == 16
        assert periods_to_end(custody) == []


def test_no_copy_from_before_opens_anything_of_the_period_and_what_is_held_moved_on(
    site: Site, people: list[UUID], tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    with site.opened() as custody:
        add_hold(custody, TESTER, people[0], "case 7")
        before = rows_of(custody)
    in_period = {row.id for row in before if row.period == PERIOD}
    assert len(in_period) == 6
    with copied(postgres, site, tmp_path) as copy:
        with after_the_quarter(site) as custody:
            purge(custody)
            kept = values_of(custody)
            assert close_period(custody, TESTER, PERIOD).destroyed == 16
            assert values_of(custody) == kept
            held = [row for row in rows_of(custody) if row.id in in_period]
            assert [(row.customer_id, row.period) for row in held] == [(people[0], "2027Q1")]
            verify_installation(custody, deep=True)
        with copy.opened() as then:
            assert count_opening(then, in_period) == 6, "the control: with the keystore of then"
        take_keystore(site, copy)
        with copy.opened() as now:
            assert count_opening(now, in_period) == 0
    with after_the_quarter(site) as custody:
        assert close_period(custody, TESTER, PERIOD).destroyed == 0, "again is success"


def test_a_hold_set_while_a_period_closes_moves_its_record_itself(
    site: Site, people: list[UUID]
) -> None:
    with after_the_quarter(site) as custody:
        with pytest.raises(RefusedError):
            close_period(custody, TESTER, PERIOD)
        add_hold(custody, TESTER, people[0], "case 8")
        moved = [row.period for row in rows_of(custody) if row.customer_id == people[0]]
        assert PERIOD not in moved
        purge(custody)
        close_period(custody, TESTER, PERIOD)
        assert len(moved) == sum(r.customer_id == people[0] for r in rows_of(custody))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_twice_nothing_that_stays_is_lost(
    site: Site, people: list[UUID], step: str
) -> None:
    with site.opened() as custody:
        add_hold(custody, TESTER, people[0], "case 9")
    with after_the_quarter(site) as custody:
        purge(custody)
        before = values_of(custody)
        with dying_at(step) as death:
            close_period(custody, TESTER, PERIOD)
        assert death.came
        assert periods_to_end(custody) == [PERIOD]
    for _ in range(2):
        with after_the_quarter(site) as custody:
            assert values_of(custody) == before
            with dying_at(step) as death:
                close_period(custody, TESTER, PERIOD)
            assert death.came == (step not in ONCE)
    with after_the_quarter(site) as custody:
        close_period(custody, TESTER, PERIOD)
        assert values_of(custody) == before
        verify_installation(custody, deep=True)
        with transaction(custody.data) as connection:
            assert list_periods(connection)[PERIOD] == "closed"
        (gone,) = [one for one in key_standing(custody).buckets if one.period == PERIOD]
        assert (gone.closed, gone.keys) == (16, 0)
        assert not [n for n in custody.keyring.keystore.names if n.startswith(f"kek/{PERIOD}/")]
        assert not custody.keyring.keystore.is_ending
        assert periods_to_end(custody) == []
        said = facts_of(custody, "period:keys:destroyed")
        assert said
        assert {one["buckets"] for one in said} == {16}, "also by who found nothing left to do"
        assert unsound(custody, len(people)) == []


def facts_of(custody: Custody, event: str) -> list[dict[str, object]]:
    with transaction(custody.data) as connection:
        entries = [one for one in read_entries(connection) if one.event == event]
    return [json.loads(one.body)["facts"] for one in entries]


def test_while_others_read_all_records_a_period_is_not_said_to_be_full(
    site: Site, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert people
    monkeypatch.setattr(period_end, "_ATTEMPTS", 2)
    with after_the_quarter(site) as custody:
        purge(custody)
        with transaction(custody.data) as reader:
            reader.execute(text("SELECT FROM records"))
            with pytest.raises(ChangedMeanwhileError):
                close_period(custody, TESTER, PERIOD)
        assert close_period(custody, TESTER, PERIOD).buckets == 16


def quarters(count: int) -> list[tuple[str, date, datetime]]:
    """Return so many past quarters: period, the day of what falls due in it, a day behind it."""
    found = []
    year, quarter = 2027, 1
    for _ in range(count):
        last = date(year, quarter * 3, 28)
        after = datetime(year + quarter // 4, quarter % 4 * 3 + 1, 15, 12, tzinfo=ZONE)
        found.append((f"{year}Q{quarter}", last.replace(year=year - 5), after))
        year, quarter = year + quarter // 4, quarter % 4 + 1
    return found


def test_holds_and_period_ends_leave_nobody_held_behind(site: Site, tmp_path: Path) -> None:
    """300 races hold × period end: whoever was told that a record is held still has it.

    In each round an end knocks until it is let in, while holds come on all that is due but one
    record, which is held before: so that an end has something to move while it is raced.
    """
    rounds = quarters(10)
    each = RACES // len(rounds) + 1
    with site.opened(chunk_rows=500) as custody:
        people = settled_contracts(custody, tmp_path, each * len(rounds))
        rows = [transaction_row(i, 0, rounds[i // each][1]) for i in range(len(people))]
        settle(custody, transactions_file(tmp_path / "due.csv", rows))
    held = 0
    for turn, (period, _, after) in enumerate(rounds):
        with site.opened(lambda after=after: after) as custody:
            group = people[turn * each : (turn + 1) * each]
            before = values_in(custody, period)
            assert len(before) == each * (turn + 1), "and what was held moves on every quarter"
            add_hold(custody, TESTER, group[0], "early")
            sides = [partial(add_hold, custody, TESTER, one, "race") for one in group[1:]]
            outcomes = race(turn, partial(end_when_let_in, custody, period), *sides)
            assert errors(outcomes) == []
            held += len(sides)
            left = values_of(custody)
            assert {one: left.get(one) for one in before} == before
            assert state_of(custody, period) == "closed"
            assert values_in(custody, period) == {}
    assert held == RACES
    with site.opened(lambda: rounds[-1][2]) as custody:
        assert unsound(custody, len(people)) == []


def values_in(custody: Custody, period: str) -> dict[UUID, object]:
    """Return the values of the records that lie in a period."""
    inside = {row.id for row in rows_of(custody) if row.period == period}
    return {key: one for key, one in values_of(custody).items() if key in inside}


def state_of(custody: Custody, period: str) -> str:
    with transaction(custody.data) as connection:
        return list_periods(connection)[period]


def end_when_let_in(custody: Custody, period: str) -> None:
    """End a period as soon as all that is due in it is held or gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            close_period(custody, TESTER, period)
        except RefusedError as refused:
            if time.monotonic() > deadline or refused.reasons[0].code != "period_not_empty":
                raise
        else:
            return


def hold_behind_the_last_look(custody: Custody, people: list[UUID]) -> str:
    """Have a period end with one record held and one due, which is held behind the end's look.

    Returns:
        What became of the end.
    """
    for one in people[2:]:
        destroy(custody, plan_all(custody, one))
    add_hold(custody, TESTER, people[0], "case 10")

    def hold(step: str) -> None:
        if step == "period:moved-on":
            add_hold(custody, TESTER, people[1], "case 11")

    try:
        with observed_by(hold):
            close_period(custody, TESTER, PERIOD)
    except RefusedError:
        return "refused"
    return "ended"


def test_a_hold_behind_the_last_look_keeps_its_record(site: Site, people: list[UUID]) -> None:
    with after_the_quarter(site) as custody:
        before = values_of(custody)
        assert hold_behind_the_last_look(custody, people) == "refused"
        left = values_of(custody)
        assert left == {key: before[key] for key in left}
        assert {row.customer_id for row in rows_of(custody) if row.period == PERIOD} == {
            *people[:2]
        }


def test_a_careless_end_takes_what_was_held_in_between(
    site: Site, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive twin: it tells nobody, looks once at who is held, and takes what else is due."""

    def looks_once(custody: Custody, actor: Actor, period: str, last_day: date) -> None:
        with transaction(custody.data) as connection:
            left = periods.records_left(connection, period, last_day, 500)
            held = [one for one in left if one.held]
            ids = [one.id for one in held]
            endings.end_keys_of_records(connection, ids, "rebased", custody.now())
        finish_endings(custody, actor, [one.customer_id for one in held])
        reached("period:moved-on")

    monkeypatch.setattr(period_end, "_begin", lambda *_: None)
    monkeypatch.setattr(period_end, "_move_on", looks_once)
    monkeypatch.setattr(period_end, "_drop", lambda *_: [])
    with after_the_quarter(site) as custody:
        assert hold_behind_the_last_look(custody, people) == "ended"
        with pytest.raises((SealInvalidError, RootUnavailableError)):
            values_of(custody)


def test_stores_and_period_ends_do_not_disturb_each_other(site: Site, tmp_path: Path) -> None:
    """300 races store × period end: what is stored opens, in a period that is not over.

    The stores' clock is behind, as that of a process that slept through midnight.
    """
    rounds = quarters(30)
    each = RACES // len(rounds)
    with site.opened(chunk_rows=500) as custody:
        settled_contracts(custody, tmp_path, RACES)
    came_to = Counter[str]()
    for turn, (period, day, after) in enumerate(rounds):
        before = datetime.combine(day.replace(year=day.year + 5), NOW.timetz())
        rows = [transaction_row(turn * each + i, 9, day) for i in range(each)]
        with site.opened(lambda at=before: at, chunk_rows=1) as early:
            # Somebody has a key in the period, so that there is something to end.
            first = [transaction_row(turn, 0, day)]
            settle(early, transactions_file(tmp_path / f"{period}-first.csv", first))
            file = transactions_file(tmp_path / f"{period}.csv", rows)
            batch = take_in(early, file.source, file.path)
            late = replace(early, clock=lambda at=after: at)
            purge(late)
            stores = [
                partial(store_chunk, early, TESTER, batch.id, number)
                for number in range(batch.chunks)
            ]
            end = partial(close_period, late, TESTER, period)
            ended, *stored = race(turn, end, *stores, head_start=0.3)
            assert errors([ended], RefusedError) == []
            assert errors(stored, PeriodClosedError, ChangedMeanwhileError) == []
            came_to["ended" if ended.error is None else "not ended"] += 1
            came_to.update("stored" if one.error is None else "not stored" for one in stored)
            for number in range(batch.chunks):
                store_chunk(late, TESTER, batch.id, number)
            values_of(late)
            purge(late)
            close_period(late, TESTER, period)
            assert state_of(late, period) == "closed"
    assert min(came_to[one] for one in ("ended", "not ended", "stored", "not stored")) > 0
    assert came_to["stored"] + came_to["not stored"] == RACES
    with site.opened(lambda: rounds[-1][2] + timedelta(days=1)) as custody:
        assert unsound(custody, RACES) == []


def test_contracts_go_on(site: Site, tmp_path: Path) -> None:
    """What has no clock yet lies in no quarter, and no end of one touches it."""
    with site.opened() as custody:
        settled_contracts(custody, tmp_path, 3, DUE)
        contracts = values_in(custody, "open")
        assert len(contracts) == len(values_in(custody, PERIOD)) == 3
    with after_the_quarter(site) as custody:
        purge(custody)
        assert close_period(custody, TESTER, PERIOD).destroyed > 0
        assert values_of(custody) == contracts
