"""Retention by the calendar of any zone, reckoned twice; destruction only by a sane clock (T16)."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from house import TESTER, destroy, founded, plan_all
from racing import contract, contracts_file, settle, transactions_file
from sqlalchemy import text
from story import transaction_row

from custody.acts.context import Custody
from custody.acts.destroy import claim_plan
from custody.database.engine import make_engine
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import RefusedError
from custody.retention import day_in, ends_on, is_due, last_day_of, period_of, quarter_of

pytestmark = pytest.mark.usefixtures("_templates")
SEED, DATES = 20261123, 2000
ZONES = (
    "Asia/Shanghai", "Pacific/Apia", "America/Santiago", "Pacific/Kiritimati", "Asia/Kathmandu",
    "America/St_Johns", "Australia/Lord_Howe", "Asia/Tehran", "Europe/Dublin", "UTC",
)  # fmt: skip
EDGES = (
    date(2024, 2, 29), date(2000, 2, 29), date(2023, 2, 28), date(2024, 12, 31), date(2026, 1, 1),
    date(2011, 12, 29), date(2011, 12, 31), date(2025, 8, 31), date(2025, 1, 30), date(2100, 2, 28),
)  # fmt: skip
"""Leap days, ends of months and years, and the day that Samoa left out."""


def samples() -> Iterator[tuple[datetime, ZoneInfo, int, int, int]]:
    """Yield instants, zones and periods; the edges first, each in every zone."""
    chance = random.Random(SEED)
    edges = [(day, zone) for day in EDGES for zone in ZONES]
    drawn = [
        (date(1990, 1, 1) + timedelta(days=chance.randrange(50_000)), chance.choice(ZONES))
        for _ in range(DATES - len(edges))
    ]
    for day, zone in edges + drawn:
        minute = chance.choice((0, 1, 23 * 60 + 59, chance.randrange(1440)))
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)
        years, months = chance.choice(((5, 0), (1, 0), (3, 0), (0, 18), (0, 1), (2, 6), (0, 0)))
        days = 30 if (years, months) == (0, 0) else chance.choice((0, 0, 15))
        yield at, ZoneInfo(zone), years, months, days


def written(years: int, months: int, days: int) -> str:
    parts = ((years, "Y"), (months, "M"), (days, "D"))
    return "P" + "".join(f"{count}{unit}" for count, unit in parts if count)


def test_the_calendar_agrees_with_another_reckoning() -> None:
    """Pandas counts months by itself, and PostgreSQL's rule (the month's last day) is the same."""
    wrong = []
    for at, zone, years, months, days in samples():
        local = pd.Timestamp(at).tz_convert(str(zone))
        begun = date(local.year, local.month, local.day)
        moved = pd.Timestamp(begun) + pd.DateOffset(years=years, months=months)
        last = (moved + pd.Timedelta(days=days)).date()
        if (day_in(zone, at), ends_on(begun, written(years, months, days))) != (begun, last):
            wrong.append((at, zone.key, years, months, days))
        quarter = pd.Timestamp(last).to_period("Q")
        if (quarter_of(last), last_day_of(quarter_of(last))) != (
            str(quarter),
            quarter.end_time.date(),
        ):
            wrong.append((last, quarter_of(last)))
    assert wrong == []


def test_a_record_is_due_from_the_day_after_its_last_and_not_before() -> None:
    for at, zone, years, months, days in samples():
        last = ends_on(day_in(zone, at), written(years, months, days))
        midnight = datetime(last.year, last.month, last.day, tzinfo=zone) + timedelta(days=1)
        before, after = midnight - timedelta(seconds=1), midnight + timedelta(days=1)
        assert not is_due(last, day_in(zone, before.astimezone(UTC)))
        assert is_due(last, day_in(zone, after.astimezone(UTC)))
        assert period_of(last, last) == quarter_of(last)
        assert period_of(last, last + timedelta(days=400)) == quarter_of(last + timedelta(days=400))


def test_the_database_reckons_the_same(postgres: EmbeddedPostgres) -> None:
    """Its table of zones is another copy; both are trusted for the days until 2037 only."""
    engine = make_engine(postgres.endpoints.owner_url)
    chosen = [sample for sample in samples() if sample[0].year < 2037]
    assert len(chosen) > DATES // 4
    with engine.connect() as connection:
        for at, zone, years, months, days in chosen:
            last = connection.execute(
                text(
                    "SELECT ((:at AT TIME ZONE :zone)::date + make_interval(years => :y,"
                    " months => :m))::date + :d"
                ),
                {"at": at, "zone": zone.key, "y": years, "m": months, "d": days},
            ).scalar_one()
            assert ends_on(day_in(zone, at), written(years, months, days)) == last
    engine.dispose()


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_clock_set_forward_destroys_nothing(
    postgres: EmbeddedPostgres, tmp_path: Path, *, synthetic: bool
) -> None:
    """Ten years on everything is due; only invented people may go on such a day (the control)."""
    now = datetime.now(UTC)
    with founded(postgres, tmp_path, synthetic=synthetic, clock=lambda: now) as site:
        with site.opened(lambda: now) as custody:
            _settled(custody, tmp_path)
        with site.opened(lambda: now + timedelta(days=3653)) as custody:
            if synthetic:
                assert destroy(custody, plan_all(custody)) is not None
            else:
                _refused(lambda: plan_all(custody))


def test_a_plan_is_not_begun_by_a_clock_that_jumped_since(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    with founded(postgres, tmp_path, synthetic=False, clock=lambda: now) as site:
        with site.opened(lambda: now) as custody:
            _settled(custody, tmp_path)
            plan = plan_all(custody)
            assert plan.summary["records"] == 1
        for jump in (timedelta(hours=25), timedelta(hours=-25), timedelta(days=3653)):
            with site.opened(lambda jump=jump: now + jump) as custody:
                _refused(lambda: claim_plan(custody, TESTER, plan.id))
        with site.opened(lambda: now + timedelta(hours=1)) as custody:
            assert destroy(custody, plan) is not None


@pytest.mark.parametrize("days", [-3653, -3, 3])
def test_a_clock_of_the_database_that_jumped_is_noticed_by_the_ledger(
    postgres: EmbeddedPostgres, tmp_path: Path, days: int
) -> None:
    """Both clocks moved, seen from the other side: the newest entry lies days away."""
    now = datetime.now(UTC)
    with (
        founded(postgres, tmp_path, synthetic=False, clock=lambda: now) as site,
        site.opened(lambda: now) as custody,
    ):
        _settled(custody, tmp_path)
        owner = make_engine(site.databases.owner_url)
        with owner.begin() as connection:
            moved = text("UPDATE ledger.entries SET at = at + make_interval(days => :days)")
            connection.execute(moved, {"days": days})
        owner.dispose()
        _refused(lambda: plan_all(custody))


def _settled(custody: Custody, folder: Path) -> None:
    settle(
        custody,
        contracts_file(folder / "people.csv", [contract(0)]),
        transactions_file(folder / "due.csv", [transaction_row(0, 0, date(2015, 3, 2))]),
    )


def _refused(act: Callable[[], object]) -> None:
    with pytest.raises(RefusedError) as refused:
        act()
    assert [reason.code for reason in refused.value.reasons] == ["clock_jumped"]
