"""Statements on the ledger: append through its one function, read in order."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from custody.ledger import Entry, Head

_APPEND = text("SELECT ledger.append(:event, :body)")
_PAGE = text(
    "SELECT seq, at, event, body, previous, hash FROM ledger.entries"
    " WHERE seq > :after ORDER BY seq LIMIT :most"
)
_HEAD = text("SELECT seq, hash FROM ledger.head")
_RUNS = text(
    "SELECT DISTINCT body::jsonb ->> 'run' AS run FROM ledger.entries"
    " WHERE body::jsonb ->> 'run' <> '' ORDER BY run"
)
_PAGE_SIZE: Final = 5000


def append_entry(connection: Connection, event: str, body: bytes) -> int:
    """Append an entry as the last statement of a transaction and return its number."""
    parameters = {"event": event, "body": body.decode()}
    return int(connection.execute(_APPEND, parameters).scalar_one())


def read_entries(connection: Connection, after: int = 0) -> Iterator[Entry]:
    """Yield the entries behind number ``after``, in order, a page at a time."""
    while True:
        rows = connection.execute(_PAGE, {"after": after, "most": _PAGE_SIZE}).all()
        for row in rows:
            yield Entry(**row._mapping)
        if not rows:
            return
        after = rows[-1].seq


def read_head(connection: Connection) -> Head:
    """Return the number and hash that the next entry will follow."""
    return Head(**connection.execute(_HEAD).one()._mapping)


def runs_named(connection: Connection) -> list[str]:
    """Return the id of every flow run that any entry names."""
    return list(connection.execute(_RUNS).scalars())
