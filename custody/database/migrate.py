"""Bring the two databases to the schema of this version, as their owner."""

from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool, text

DATA: Final = "data"
KEYS: Final = "keys"
SCHEMA: Final = "custody"
_LOCK: Final = 0x637573_01  # "cus" 1: one migration at a time


def migrate(owner_data_url: str, owner_keys_url: str) -> None:
    """Migrate the data database and the key database to the newest revision."""
    _upgrade(owner_data_url, DATA)
    _upgrade(owner_keys_url, KEYS)


def pending(url: str, which: str) -> tuple[str | None, str | None]:
    """Return the revision a database has and the one this version wants, equal when up to date."""
    engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        current = context.get_current_revision()
    return current, ScriptDirectory.from_config(_config(which)).get_current_head()


def _upgrade(url: str, which: str) -> None:
    engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        command.upgrade(_config(which, connection), "head")


def _config(which: str, connection: Connection | None = None) -> Config:
    folder = str(files("custody.database") / "migrations")
    config = Config()
    config.set_main_option("script_location", folder)
    config.set_main_option("version_locations", f"{folder}/{which}")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
