"""What the commands of the keys say, and that they did it: rotate, turn, close-period, horizon."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from copied_firm import (
    NOW,
    PEOPLE,
    PERIOD,
    Copy,
    events,
    names,
    part,
    purge,
    rows,
    values,
)
from copied_firm import copy as copy  # noqa: PLC0414 - a fixture
from copied_firm import founded as founded  # noqa: PLC0414 - another

BUCKETS = 16  # of a period
NOTHING = {"buckets": 0, "keys": 0, "other_keys": 0, "destroyed": 0}
LATER = datetime(2027, 2, 1, 12, tzinfo=NOW.tzinfo)


def periods(copy: Copy) -> dict[str, Any]:
    return {one["period"]: one for one in copy.tell(0, "keys", "status")["periods"]}


def generations(period: str) -> set[str]:
    """Return which generations of a period's key-encryption keys the keystore has."""
    return {name.rpartition("/")[2] for name in names(f"kek/{period}/")}


def today() -> date:
    """Return the day by which the ledger dates: the database's clock, in the firm's zone."""
    return datetime.now(NOW.tzinfo).date()


def test_rotate_gives_a_new_root_under_which_all_opens_and_the_old_keystore_is_dead(
    copy: Copy,
) -> None:
    before, old, said = copy.tell(0, "keys", "status"), copy.keystore.read_bytes(), values()
    assert before["root"] == 1
    done = copy.tell(0, "keys", "rotate")
    assert done == {"root": 2, "entries": before["entries"]}
    assert copy.tell(0, "keys", "status") == {**before, "root": 2}
    assert values() == said
    assert events()[-2:] == ["key:root:ending", "key:root:rotated"]
    again = copy.tell(0, "keys", "rotate")
    assert again == {"root": 3, "entries": before["entries"]}
    assert values() == said
    copy.keystore.write_bytes(old)
    refused = copy.tell(1, "keys", "status")
    assert refused["error"]["code"] == "root_unavailable"


def test_turn_finds_nothing_to_do_where_no_key_was_deleted(copy: Copy) -> None:
    kept, said = copy.keystore.read_bytes(), events()
    assert copy.tell(0, "keys", "turn") == NOTHING
    assert copy.keystore.read_bytes() == kept
    assert events() == said


def test_turn_turns_what_was_deleted_from_and_nothing_else(copy: Copy) -> None:
    gone = rows()[0].customer_id
    purge(gone)
    left = values()
    before = periods(copy)
    dirty = {name for name, one in before.items() if one["dirty"]}
    assert dirty >= {"open", PERIOD}
    assert {before[name]["dirty"] for name in dirty} == {1}
    done = copy.tell(0, "keys", "turn")
    after = periods(copy)
    assert all(one["dirty"] == 0 for one in after.values())
    assert part(done, "buckets", "destroyed", "root") == {
        "buckets": len(dirty),
        "destroyed": len(dirty),
        "root": 2,
    }
    assert 0 <= done["keys"] < sum(one["keys"] for one in after.values())
    for period in before:
        there = names(f"kek/{period}/")
        assert len(there) == BUCKETS
        assert sum(name.endswith("/2") for name in there) == (period in dirty)
    assert values() == left
    assert gone not in {row.customer_id for row in rows()}
    assert copy.tell(0, "keys", "turn") == NOTHING


def test_turn_all_turns_every_bucket_and_every_key(copy: Copy) -> None:
    before, said = periods(copy), values()
    for turn in (1, 2):
        done = copy.tell(0, "keys", "turn", "--all")
        assert done == {
            "buckets": sum(one["buckets"] for one in before.values()),
            "keys": sum(one["keys"] for one in before.values()),
            "other_keys": 0,  # they are under the suite already
            "destroyed": BUCKETS * len(before),
            "root": turn + 1,
        }
        assert all(generations(period) == {str(turn + 1)} for period in before)
        assert values() == said
    assert done["keys"] >= 2 * PEOPLE
    assert copy.tell(0, "keys", "turn")["buckets"] == 0


def test_close_period_is_refused_before_its_end_and_for_what_never_was(copy: Copy) -> None:
    kept = copy.keystore.read_bytes()
    for wrong in (PERIOD, "2020Q1", "open", "2026Q5", "never"):
        assert copy.tell(2, "keys", "close-period", wrong)["error"]["code"] == "usage"
    assert copy.tell(2, "keys", "close-period")["error"]["code"] == "usage"
    assert copy.keystore.read_bytes() == kept
    assert len(rows()) == 2 * PEOPLE


def test_close_period_is_refused_while_something_due_lies_in_it(copy: Copy) -> None:
    copy.days.append(LATER)
    told = copy.tell(3, "keys", "close-period", PERIOD)["error"]
    (reason,) = told["reasons"]
    assert (reason["code"], reason["count"]) == ("period_not_empty", PEOPLE)
    assert len(names(f"kek/{PERIOD}/")) == BUCKETS
    assert len(values()) == 2 * PEOPLE


def test_close_period_destroys_its_keys_and_no_others(copy: Copy) -> None:
    copy.days.append(LATER)
    purge()
    assert copy.tell(0, "keys", "status")["periods_to_end"] == [PERIOD]
    kept, others = values(), names("kek/open/")
    assert len(kept) == PEOPLE
    done = copy.tell(0, "keys", "close-period", PERIOD)
    assert part(done, "period", "destroyed", "root") == {
        "period": PERIOD,
        "destroyed": BUCKETS,
        "root": 2,
    }
    assert names(f"kek/{PERIOD}/") == set()
    assert names("kek/open/") == others
    assert values() == kept
    after = copy.tell(0, "keys", "status")
    assert after["periods_to_end"] == []
    (ended,) = [one for one in after["periods"] if one["period"] == PERIOD]
    assert (ended["closed"], ended["keys"]) == (BUCKETS, 0)
    again = copy.tell(0, "keys", "close-period", PERIOD)
    assert again == {"period": PERIOD, "keys": 0, "destroyed": 0, "root": done["root"]}
    assert values() == kept
    assert events().count("period:keys:destroyed") == 1


def test_backup_horizon_names_what_a_backup_of_that_day_undoes(copy: Copy) -> None:
    day = today()
    nothing = {"oldest": day.isoformat(), "undone": []}
    assert copy.tell(0, "keys", "backup-horizon", day.isoformat()) == nothing
    purge(rows()[0].customer_id)
    destroyed = copy.tell(0, "keys", "turn")["destroyed"]
    said, kept = events(), copy.keystore.read_bytes()
    told = copy.tell(5, "keys", "backup-horizon", day.isoformat())
    (undone,) = told["undone"]
    assert told["oldest"] == day.isoformat()
    assert part(undone, "event", "about", "destroyed") == {
        "event": "key:turn:completed",
        "about": "",
        "destroyed": destroyed,
    }
    assert said[-1] == "key:turn:completed"
    assert copy.tell(5, "keys", "backup-horizon", day.isoformat()) == told
    after = (day + timedelta(days=1)).isoformat()
    assert copy.tell(0, "keys", "backup-horizon", after) == {"oldest": after, "undone": []}
    assert (events(), copy.keystore.read_bytes()) == (said, kept), "it only looks"


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "0001-01-01"])
def test_backup_horizon_of_no_day_is_wrong_usage(copy: Copy, day: str) -> None:
    assert copy.tell(2, "keys", "backup-horizon", day)["error"]["code"] == "usage"
