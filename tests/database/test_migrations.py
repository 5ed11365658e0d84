"""What an earlier version left is refused where it cannot be brought to the schema of this one."""

import pytest
from alembic import command
from own_databases import Databases
from sqlalchemy import create_engine, text

from custody.database.migrate import DATA, SCHEMA, _config, migrate, pending
from custody.errors import UsageError

TAG = (
    "INSERT INTO custody.identity_tags (tag, customer_id, reference, single, suppression, epoch)"
    " VALUES ('t', gen_random_uuid(), 'customer_no', true, 's', 1)"
)


def test_tags_without_their_references_are_not_taken_over(bare_databases: Databases) -> None:
    engine = create_engine(bare_databases.owner_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        command.upgrade(_config(DATA, connection), "d0005")
        connection.execute(text(TAG))
    with pytest.raises(UsageError, match="earlier version"):
        migrate(bare_databases.owner_url, bare_databases.keys_owner_url)
    assert pending(bare_databases.owner_url, DATA)[0] == "d0005", "nothing was changed"
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM custody.identity_tags"))
    migrate(bare_databases.owner_url, bare_databases.keys_owner_url)
    found, wanted = pending(bare_databases.owner_url, DATA)
    assert found == wanted
