"""The bench measures what it says: clocks of client and server, medians, and targets both ways."""

import time
from xml.etree import ElementTree as ET

import pytest

from benchmarks.measure import Cost, Meter, Series
from benchmarks.one_row import row_of
from benchmarks.plot import plot
from benchmarks.rows import seals
from benchmarks.table import Row
from custody.embedded.postgres import EmbeddedPostgres


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_meter_tells_work_from_waiting() -> None:
    working, waiting = Meter().measure(lambda: busy(0.2)), Meter().measure(lambda: time.sleep(0.2))
    assert working.client == pytest.approx(0.2, abs=0.1)
    assert waiting.client < 0.1
    assert waiting.wall > 0.19
    assert (working.server, waiting.server) == (0, 0)


def test_the_servers_work_is_counted_also_of_sessions_that_ended(
    postgres: EmbeddedPostgres,
) -> None:
    import psycopg  # noqa: PLC0415 - only this test needs it

    def ask() -> None:
        with psycopg.connect(postgres.admin_conninfo("postgres")) as connection:
            connection.execute("SELECT sum(i) FROM generate_series(1, 3000000) i")

    found = Meter(postgres.home.cluster).measure(ask)
    assert found.server > 0.05
    assert found.server > found.client


def test_a_series_shows_medians_and_ranges() -> None:
    costs = [Cost(wall=wall, client=wall / 2, server=wall / 2) for wall in (3.0, 1.0, 2.0)]
    series = Series(rows=1000, costs=costs)
    assert (series.wall, series.cpu_per_row, series.rate) == (2.0, 2000.0, 500.0)
    assert series.spread == (1000.0, 3000.0)


@pytest.mark.parametrize(
    ("value", "at_most", "holds"), [(9, False, False), (11, False, True), (9, True, True)]
)
def test_a_target_is_a_floor_or_a_ceiling(value: float, at_most: bool, holds: bool) -> None:  # noqa: FBT001 - parameters of a test
    assert Row(name="x", value=value, unit="s", target=10, at_most=at_most).holds is holds
    assert Row(name="x", value=value, unit="s").holds is None


@pytest.mark.parametrize(("seconds", "holds"), [((60, 3, 9, 2), True), ((1, 1, 5, 5), False)])
def test_a_file_of_one_row_counts_without_the_one_that_warmed_the_process(
    seconds: tuple[float, ...],
    holds: bool,  # noqa: FBT001 - a parameter of a test
) -> None:
    row = row_of(seconds)
    assert (row.value, row.target, row.holds) == (sorted(seconds[1:])[1], 4, holds)


def test_every_suite_is_measured() -> None:
    names = [row.name for row in seals(1, count=200)]
    assert names == [
        "seal, aes-256-gcm",
        "seal, sm4-gcm",
        "seal, aes-256-gcm-siv",
        "SM4-GCM ÷ AES-256-GCM",
    ]


def test_the_picture_has_a_bar_for_every_target_and_says_on_which_side_it_is() -> None:
    rows = [
        Row(name="a & b", value=20, unit="x", target=10),
        Row(name="short", value=5, unit="x", target=10),
        Row(name="less is better", value=5, unit="ms", target=10, at_most=True),
        Row(name="no target", value=5, unit="x"),
    ]
    drawn = plot(rows, "a <title>")
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    said = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a & b", "short", "less is better", "2.00", "0.50", "a <title>"} <= set(said)
    assert "no target" not in said
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    assert len({one.get("fill") for one in bars}) == 2
    assert bars[0].get("fill") == bars[2].get("fill")
