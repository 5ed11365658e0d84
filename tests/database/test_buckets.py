"""Buckets are locked in order, so that whoever shares and whoever closes them never deadlock."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from own_databases import Databases
from sqlalchemy import Connection, Engine, text

from custody.database.buckets import add_buckets, close_buckets, every_bucket
from custody.database.engine import DatabaseError, make_engine, transaction

PERIOD = "2031-01"
AT = datetime(2026, 11, 27, tzinfo=UTC)
# The row of slice 0 lies last in the table, and the table is read as it lies.
_MOVE = text("UPDATE buckets SET dirty_at = now() WHERE slice = 0")
_AS_IT_LIES = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"
_SHARE = text("SELECT FROM buckets WHERE slice = :slice FOR SHARE")
_UNORDERED = text("UPDATE buckets SET closed_at = :at WHERE period = :period")
_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def engine(databases: Databases) -> Iterator[Engine]:
    engine = make_engine(databases.keys_url)
    with transaction(engine) as connection:
        add_buckets(connection, PERIOD, range(16), AT)
    with transaction(engine) as connection:
        connection.execute(_MOVE)
    yield engine
    engine.dispose()


def close_unordered(connection: Connection, period: str, at: datetime) -> None:
    """Be the careless twin."""
    connection.execute(_UNORDERED, {"period": period, "at": at})


def waiting(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(_WAITING).scalar_one())


def deadlocks(engine: Engine, close: Callable[[Connection, str, datetime], None]) -> int:
    """Return how many deadlocks a close makes with somebody who shares slice 0, then slice 5."""
    errors: list[DatabaseError] = []

    def other_side() -> None:
        try:
            with transaction(engine) as connection:
                connection.execute(text(_AS_IT_LIES))
                close(connection, PERIOD, AT)
        except DatabaseError as error:
            errors.append(error)

    closing = threading.Thread(target=other_side)
    deadline = time.monotonic() + 30
    try:
        with transaction(engine) as connection:
            connection.execute(_SHARE, {"slice": 0})
            closing.start()
            while not waiting(engine):
                assert time.monotonic() < deadline, "the close does not wait for the share"
                time.sleep(0.01)
            connection.execute(_SHARE, {"slice": 5})
    except DatabaseError as error:
        errors.append(error)
    closing.join(30)
    assert not closing.is_alive()
    assert all(error.is_deadlock for error in errors)
    return len(errors)


def test_a_close_waits_its_turn(engine: Engine) -> None:
    assert deadlocks(engine, close_buckets) == 0
    with transaction(engine) as connection:
        assert {one.closed_at for one in every_bucket(connection)} == {AT}


def test_the_careless_twin_deadlocks(engine: Engine) -> None:
    assert deadlocks(engine, close_unordered) == 1
