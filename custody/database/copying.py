"""Many rows at once, in a connection's transaction: written by binary COPY, read as tuples.

Rows are encoded here, for a table's columns are known: psycopg would look at the type of every
value of every row (see PostgreSQL's manual, COPY, "Binary Format").
"""

import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

import psycopg
from sqlalchemy import Connection

NULL: Final = struct.pack(">i", -1)
UUID_HEAD: Final = struct.pack(">i", 16)
_START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = struct.pack(">h", -1)
_BLOCK: Final = 1 << 18
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FEW: Final = 4096


def copy_encoded(connection: Connection, statement: str, rows: Iterable[bytes]) -> None:
    """Send encoded rows through a COPY statement in binary format."""
    with _psycopg(connection).cursor() as cursor, cursor.copy(statement) as copy:
        block = bytearray(_START)
        for row in rows:
            block += row
            if len(block) > _BLOCK:
                copy.write(bytes(block))
                block.clear()
        copy.write(bytes(block + _END))


def fetch(
    connection: Connection, statement: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Return the rows of a query with ``%(name)s`` in it, as tuples read from the binary format."""
    with _psycopg(connection).cursor(binary=True) as cursor:
        rows: list[tuple[Any, ...]] = cursor.execute(statement, parameters).fetchall()
    return rows


def _psycopg(connection: Connection) -> psycopg.Connection[Any]:
    found = connection.connection.driver_connection
    if not isinstance(found, psycopg.Connection):
        raise TypeError(found)
    return found


def columns(count: int) -> bytes:
    """Return how a row of so many columns begins."""
    return struct.pack(">h", count)


def blob(value: bytes | None) -> bytes:
    """Return a ``bytea`` that may be NULL, encoded."""
    return NULL if value is None else len(value).to_bytes(4, "big") + value


@lru_cache(_FEW)
def text_value(value: str) -> bytes:
    """Return a ``text`` of which there are few, encoded."""
    return blob(value.encode())


@lru_cache(_FEW)
def day_value(value: date | None) -> bytes:
    """Return a ``date`` that may be NULL, encoded."""
    days = None if value is None else value.toordinal() - _EPOCH.toordinal()
    return NULL if days is None else struct.pack(">ii", 4, days)


@lru_cache(_FEW)
def instant_value(value: datetime) -> bytes:
    """Return a ``timestamptz``, encoded."""
    since = value - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return struct.pack(">iq", 8, microseconds)


@lru_cache(_FEW)
def int_value(value: int) -> bytes:
    """Return an ``int4``, encoded."""
    return struct.pack(">ii", 4, value)


@lru_cache(_FEW)
def small_value(value: int) -> bytes:
    """Return an ``int2``, encoded."""
    return struct.pack(">ih", 2, value)


def bool_value(value: bool) -> bytes:  # noqa: FBT001 - the value itself
    """Return a ``boolean``, encoded."""
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"
