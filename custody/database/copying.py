"""Writing many rows by binary COPY, in the connection's transaction."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection


def copy_rows(
    connection: Connection, statement: str, types: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Send rows through a COPY statement whose columns have these PostgreSQL types."""
    raw = connection.connection.cursor()
    try:
        with raw.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    finally:
        raw.close()
