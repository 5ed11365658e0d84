"""Bytes on their way into PostgreSQL and back."""

from collections.abc import Iterator

import pytest
from own_databases import Databases
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs
from custody.database.engine import make_engine, transaction

_BACK = text("SELECT v FROM unnest(CAST(:values AS bytea[])) WITH ORDINALITY w (v, i) ORDER BY i")


@pytest.fixture
def connection(databases: Databases) -> Iterator[Connection]:
    engine = make_engine(databases.app_url)
    with transaction(engine) as opened:
        yield opened
    engine.dispose()


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [b""],
        [None, bytes(range(256)), None],
        [b"\\", b'"', b"{},NULL", b"\0" * 70_000],
    ],
)
def test_bytes_come_back_as_they_went(connection: Connection, values: list[bytes | None]) -> None:
    """Empty and without a value too, where the driver has no element to tell the type by."""
    came = connection.execute(_BACK, {"values": Blobs(values)}).scalars().all()
    assert came == values


def test_they_go_in_binary(connection: Connection) -> None:
    """A plain list, the careless twin, goes as text."""
    cursor = connection.connection.cursor()
    for values, binary in ((Blobs([b"\xff"]), 1), ([b"\xff"], 0)):
        cursor.execute("SELECT %s::bytea[]", (values,))
        assert cursor._query.formats == [binary]
