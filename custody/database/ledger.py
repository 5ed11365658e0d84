"""Statements on the ledger: append through its one function, read in order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from custody.ledger import Entry, Head

_APPEND = text("SELECT ledger.append(:event, :body)")
_PAGE = text(
    "SELECT seq, at, event, body, previous, hash FROM ledger.entries"
    " WHERE seq > :after ORDER BY seq LIMIT :most"
)
_LAST = text(
    "SELECT seq, at, event, body, previous, hash FROM ledger.entries ORDER BY seq DESC LIMIT 1"
)
_LAST_ACT = text(
    "SELECT seq, at, event, body, previous, hash FROM ledger.entries"
    " WHERE event NOT LIKE 'run:flow:%' ORDER BY seq DESC LIMIT 1"
)
_LAST_OF = text(
    "SELECT event FROM ledger.entries WHERE event = ANY(:events) ORDER BY seq DESC LIMIT 1"
)
_OF_EVENTS = text(
    "SELECT seq, at, event, body, previous, hash FROM ledger.entries"
    " WHERE event = ANY(:events) ORDER BY seq"
)
_CLOCK = text("SELECT clock_timestamp()")
_HEAD = text("SELECT seq, hash FROM ledger.head")
_RUN_ENTRIES = text(
    "SELECT body::jsonb ->> 'run' AS run_id, body::jsonb #>> '{facts,flow}' AS flow,"
    " body::jsonb #>> '{facts,state}' AS state FROM ledger.entries"
    " WHERE event IN ('run:flow:started', 'run:flow:ended') ORDER BY seq"
)
_PAGE_SIZE: Final = 5000


def append_entry(connection: Connection, event: str, body: bytes) -> int:
    """Append an entry as the last statement of a transaction and return its number."""
    parameters = {"event": event, "body": body.decode()}
    return int(connection.execute(_APPEND, parameters).scalar_one())


def last_of(connection: Connection, events: Iterable[str]) -> str | None:
    """Return which of the events happened last, None where none ever did."""
    found: str | None = connection.execute(_LAST_OF, {"events": list(events)}).scalar_one_or_none()
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """What the ledger says of a flow run: its flow, and the state it was last seen in."""

    run_id: str
    flow: str
    state: str


def read_entries(connection: Connection, after: int = 0) -> Iterator[Entry]:
    """Yield the entries behind number ``after``, in order, a page at a time."""
    while True:
        rows = connection.execute(_PAGE, {"after": after, "most": _PAGE_SIZE}).all()
        for row in rows:
            yield Entry(**row._mapping)
        if not rows:
            return
        after = rows[-1].seq


def entries_of(connection: Connection, events: Iterable[str]) -> list[Entry]:
    """Return the entries of these events, in order."""
    rows = connection.execute(_OF_EVENTS, {"events": list(events)})
    return [Entry(**row._mapping) for row in rows]


def last_entry(connection: Connection) -> Entry | None:
    """Return the newest entry, None while there is none."""
    row = connection.execute(_LAST).one_or_none()
    return None if row is None else Entry(**row._mapping)


def last_act(connection: Connection) -> Entry | None:
    """Return the newest entry of an act, not of a run's mere start or end; None without any."""
    row = connection.execute(_LAST_ACT).one_or_none()
    return None if row is None else Entry(**row._mapping)


def database_time(connection: Connection) -> datetime:
    """Return what the database's clock shows: the one that dates the ledger's entries."""
    shown: datetime = connection.execute(_CLOCK).scalar_one()
    return shown


def read_head(connection: Connection) -> Head:
    """Return the number and hash that the next entry will follow."""
    return Head(**connection.execute(_HEAD).one()._mapping)


def run_entries(connection: Connection) -> list[RunEntry]:
    """Return the last that the ledger says of each flow run it saw begin or end."""
    rows = (RunEntry(**row._mapping) for row in connection.execute(_RUN_ENTRIES))
    return list({entry.run_id: entry for entry in rows}.values())
