"""Bytes on their way into PostgreSQL and back."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from own_databases import Databases
from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints, Texts, Uuids
from custody.database.copying import (
    UUID_HEAD,
    blob,
    bool_value,
    columns,
    copy_encoded,
    day_value,
    fetch,
    instant_value,
    int_value,
    text_value,
)
from custody.database.engine import make_engine, transaction

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
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


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (Uuids([]), "uuid"),
        (Uuids([UUID(int=0), UUID(int=2**128 - 1)]), "uuid"),
        (Ints([]), "integer"),
        (Ints([0, -1, 2**31 - 1, -(2**31)]), "integer"),
        (Texts([]), "text"),
        (Texts(["", "王", 'a"b\\,{}NULL', "", "NULL"]), "text"),
    ],
)
def test_other_values_come_back_as_they_went(
    connection: Connection, values: list[object], type_: str
) -> None:
    statement = f"SELECT v FROM unnest(%(all)s::{type_}[]) WITH ORDINALITY w (v, i) ORDER BY i"
    assert fetch(connection, statement, {"all": values}) == [(one,) for one in values]


def test_what_is_encoded_for_copy_comes_back(databases: Databases) -> None:
    engine = make_engine(databases.owner_url)
    with transaction(engine) as connection:
        _there_and_back(connection)
    engine.dispose()


def _there_and_back(connection: Connection) -> None:
    connection.execute(
        text("CREATE TEMP TABLE c (a text, b bytea, c date, d timestamptz, e int4, f bool, g uuid)")
    )
    rows = [
        ("王", b"\0\xff", date(1999, 12, 31), AT, -7, True, UUID(int=9)),
        (
            "",
            b"",
            date(2024, 2, 29),
            AT - timedelta(days=20_000, microseconds=1),
            0,
            False,
            UUID(int=0),
        ),
    ]
    encoded = [
        b"".join(
            (
                columns(7),
                text_value(row[0]),
                blob(row[1]),
                day_value(row[2]),
                instant_value(row[3]),
                int_value(row[4]),
                bool_value(row[5]),
                UUID_HEAD,
                row[6].bytes,
            )
        )
        for row in rows
    ]
    many = 20_000  # more than one block
    copy_encoded(connection, "COPY c FROM STDIN (FORMAT BINARY)", encoded * many)
    assert fetch(connection, "SELECT DISTINCT * FROM c ORDER BY a DESC", {}) == rows
    assert fetch(connection, "SELECT count(*) FROM c", {}) == [(2 * many,)]
    nothing = columns(7) + blob(None) * 2 + day_value(None) + blob(None) * 4
    copy_encoded(connection, "COPY c FROM STDIN (FORMAT BINARY)", [nothing])
    assert fetch(connection, "SELECT count(*) FROM c WHERE c IS NULL", {}) == [(1,)]


def test_they_go_in_binary(connection: Connection) -> None:
    """A plain list, the careless twin, goes as text."""
    cursor = connection.connection.cursor()
    for values, binary in ((Blobs([b"\xff"]), 1), ([b"\xff"], 0)):
        cursor.execute("SELECT %s::bytea[]", (values,))
        assert cursor._query.formats == [binary]
