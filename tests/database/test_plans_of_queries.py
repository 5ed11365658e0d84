"""No plan that was made while a table was empty is kept for when it is not."""

import pytest
from own_databases import Databases
from sqlalchemy import Connection, text

from custody.database import engine as engines
from custody.database import records
from custody.database.engine import make_engine, transaction

TIMES = 12  # psycopg prepares at the fifth, the server keeps a plan for any array at the tenth
MANY = 5_000  # as a chunk has: an array of two is always planned for


def plans(connection: Connection) -> tuple[int, int]:
    """Return how often a kept plan was used on this connection, and how often one of its own."""
    asked = "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
    kept, own = connection.execute(text(asked)).one()
    return int(kept), int(own)


def looked_up(databases: Databases) -> tuple[int, int]:
    """Look for records by their keys so often, and return the plans that were used."""
    engine, tags = make_engine(databases.app_url), [n.to_bytes(16, "big") for n in range(MANY)]
    with transaction(engine) as connection:
        for _ in range(TIMES):
            assert records.record_keys(connection, tags) == {}
        found = plans(connection)
    engine.dispose()
    return found


def test_every_array_is_planned_for(databases: Databases) -> None:
    kept, own = looked_up(databases)
    assert kept == 0
    assert own > 0


def test_kept_plans_would_be_noticed(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = engines._OPTIONS.replace("force_custom_plan", "auto")
    monkeypatch.setattr(engines, "_OPTIONS", careless)
    kept, _ = looked_up(databases)
    assert kept > 0
