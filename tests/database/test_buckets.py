"""Buckets are locked in order, and before their keys: nobody deadlocks with a turn or an end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from own_databases import Databases
from sqlalchemy import Connection, Engine, text

from custody.database.buckets import (
    add_buckets,
    close_buckets,
    every_bucket,
    lock_bucket,
    rewrap_keys,
)
from custody.database.engine import DatabaseError, make_engine, transaction
from custody.database.keytables import WrappedKey, add_keys, retire_keys

PERIOD = "2031-01"
AT = datetime(2026, 11, 27, tzinfo=UTC)
# The row of slice 0 lies last in the table, and the table is read as it lies.
_MOVE = text("UPDATE buckets SET dirty_at = now() WHERE slice = 0")
_AS_IT_LIES = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"
_SHARE = text("SELECT FROM buckets WHERE slice = :slice FOR SHARE")
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


def waiting(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(_WAITING).scalar_one())


def deadlocks(
    engine: Engine,
    ours: Sequence[Callable[[Connection], object]],
    theirs: Callable[[Connection], object],
) -> int:
    """Return how many deadlocks two transactions make, theirs beginning after our first step."""
    errors: list[DatabaseError] = []

    def other_side() -> None:
        try:
            with transaction(engine) as connection:
                connection.execute(text(_AS_IT_LIES))
                theirs(connection)
        except DatabaseError as error:
            errors.append(error)

    other = threading.Thread(target=other_side)
    deadline = time.monotonic() + 30
    first, second = ours
    try:
        with transaction(engine) as connection:
            first(connection)
            other.start()
            while not waiting(engine):
                assert time.monotonic() < deadline, "they do not wait for us"
                time.sleep(0.01)
            second(connection)
    except DatabaseError as error:
        errors.append(error)
    other.join(30)
    assert not other.is_alive()
    assert all(error.is_deadlock for error in errors)
    return len(errors)


def sharing(place: int) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(_SHARE, {"slice": place})


SHARES = (sharing(0), sharing(5))


def test_a_close_waits_its_turn(engine: Engine) -> None:
    assert deadlocks(engine, SHARES, partial(close_buckets, period=PERIOD, at=AT)) == 0
    with transaction(engine) as connection:
        assert {one.closed_at for one in every_bucket(connection)} == {AT}


def test_the_careless_twin_deadlocks(engine: Engine) -> None:
    """It locks the buckets as they lie."""
    statement = text("UPDATE buckets SET closed_at = :at WHERE period = :period")
    where = {"period": PERIOD, "at": AT}
    assert deadlocks(engine, SHARES, lambda one: one.execute(statement, where)) == 1


@pytest.fixture
def keys(engine: Engine) -> list[UUID]:
    """Return the ids of two keys in one bucket, of which the later lies first in the table."""
    ids = [UUID(int=1), UUID(int=2)]
    found = [
        WrappedKey(
            key_id=one, customer_id=one, period=PERIOD, slice=0, generation=1, wrapped=bytes(62)
        )
        for one in reversed(ids)
    ]
    with transaction(engine) as connection:
        add_keys(connection, found, [1, 1])
    return ids


def turning(keys: Sequence[UUID]) -> list[Callable[[Connection], object]]:
    """Return a turn of their bucket in two steps."""

    def begin(connection: Connection) -> None:
        lock_bucket(connection, PERIOD, 0)
        rewrap_keys(connection, [keys[0].bytes], [bytes(62)], 2)

    return [begin, lambda connection: rewrap_keys(connection, [keys[1].bytes], [bytes(62)], 2)]


def test_keys_are_retired_before_or_after_their_bucket_turns(
    engine: Engine, keys: list[UUID]
) -> None:
    assert deadlocks(engine, turning(keys), lambda one: retire_keys(one, keys)) == 0


def test_who_retires_keys_while_their_bucket_turns_deadlocks(
    engine: Engine, keys: list[UUID]
) -> None:
    """The careless twin takes the keys as they lie, and no notice of the bucket."""
    statement = text("UPDATE data_keys SET retired = true WHERE key_id = ANY(:ids)")
    assert deadlocks(engine, turning(keys), lambda one: one.execute(statement, {"ids": keys})) == 1
