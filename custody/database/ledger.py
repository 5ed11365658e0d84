"""Statements on the ledger: append through its one function, read in order."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from custody.ledger import Entry

_APPEND = text("SELECT ledger.append(:event, :body, :parts)")
_PAGE = text(
    "SELECT seq, stream, number, at, event, body FROM ledger.entries"
    " WHERE seq > :after ORDER BY seq LIMIT :most"
)
_LAST = text(
    "SELECT seq, stream, number, at, event, body FROM ledger.entries ORDER BY seq DESC LIMIT 1"
)
_LAST_ACT = text(
    "SELECT seq, stream, number, at, event, body FROM ledger.entries"
    " WHERE event NOT LIKE 'run:%' ORDER BY seq DESC LIMIT 1"
)
_LAST_OF = text(
    "SELECT event FROM ledger.entries WHERE event = ANY(:events) ORDER BY seq DESC LIMIT 1"
)
_OF_EVENTS = text(
    "SELECT seq, stream, number, at, event, body FROM ledger.entries"
    " WHERE event = ANY(:events) ORDER BY seq"
)
_OF_SEQ = text("SELECT seq, stream, number, at, event, body FROM ledger.entries WHERE seq = :seq")
_PARTS = text(
    "SELECT p.seq, e.body, p.leaves FROM ledger.parts p JOIN ledger.entries e USING (seq)"
    " WHERE p.seq > :after ORDER BY p.seq LIMIT :most"
)
_ABOUT = text(
    "SELECT seq FROM ledger.entries WHERE (body::jsonb -> 'facts') @> ANY("
    " SELECT jsonb_build_object(key, value) FROM jsonb_each(CAST(:named AS jsonb)))"
)
_PLACED = text(
    "SELECT l.place, e.seq, e.stream, e.number, e.at, e.event, e.body FROM ledger.entries e"
    " JOIN ledger.leaves l USING (seq) WHERE e.at >= :begin AND e.at < :end AND l.place < :size"
    " AND (CAST(:seqs AS bigint[]) IS NULL OR e.seq = ANY(:seqs)) ORDER BY l.place"
)
_PLACED_OF_RUNS = text(
    "SELECT l.place, e.seq, e.stream, e.number, e.at, e.event, e.body FROM ledger.entries e"
    " JOIN ledger.leaves l USING (seq) WHERE e.event IN ('run:flow:started', 'run:flow:ended')"
    " AND e.body::jsonb ->> 'run' = ANY(:runs) AND l.place < :size ORDER BY l.place"
)
_CLOCK = text("SELECT clock_timestamp()")
_RUN_ENTRIES = text(
    "SELECT at, event, body FROM ledger.entries"
    " WHERE event IN ('run:flow:started', 'run:flow:ended') ORDER BY seq"
)
# The run's start bounds what is read; the newest is the likeliest to be it.
_ACTS_OF_RUN = text(
    "WITH began AS (SELECT seq FROM ledger.entries WHERE event = 'run:flow:started'"
    "  AND body::jsonb ->> 'run' = :run ORDER BY seq DESC LIMIT 1)"
    " SELECT event, count(*) AS acts FROM ledger.entries"
    " WHERE seq > (SELECT seq FROM began) AND body::jsonb ->> 'run' = :run GROUP BY event"
)
_PAGE_SIZE: Final = 5000
_PARTS_AT_ONCE: Final = 50


def append_entry(
    connection: Connection, event: str, body: bytes, parts: bytes | None = None
) -> int:
    """Append an entry as the last statement of a transaction and return its number.

    ``parts`` are the leaves of what a bulk act did to single records, in one array.
    """
    parameters = {"event": event, "body": body.decode(), "parts": parts}
    return int(connection.execute(_APPEND, parameters).scalar_one())


def last_of(connection: Connection, events: Iterable[str]) -> str | None:
    """Return which of the events happened last, None where none ever did."""
    found: str | None = connection.execute(_LAST_OF, {"events": list(events)}).scalar_one_or_none()
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """What the ledger says of a flow run.

    Attributes:
        state: The one it was last seen in; ``RUNNING`` while no end is recorded.
        how: How who started it was established.
        facts: Of its start and of its end together.
    """

    run_id: str
    flow: str
    state: str
    how: str
    actor: str
    policy: str
    started_at: datetime | None
    ended_at: datetime | None
    facts: Mapping[str, Any]


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


def entry_of(connection: Connection, seq: int) -> Entry | None:
    """Return an entry by its number, None where there is none."""
    row = connection.execute(_OF_SEQ, {"seq": seq}).one_or_none()
    return None if row is None else Entry(**row._mapping)


def read_parts(connection: Connection) -> Iterator[tuple[int, str, bytes]]:
    """Yield number, body and leaves of every act on many records, in order, some at a time."""
    after = 0
    while rows := connection.execute(_PARTS, {"after": after, "most": _PARTS_AT_ONCE}).all():
        yield from ((row.seq, row.body, bytes(row.leaves)) for row in rows)
        after = rows[-1].seq


def seqs_about(connection: Connection, named: Mapping[str, str]) -> set[int]:
    """Return the numbers of the entries whose facts name one of these."""
    found = connection.execute(_ABOUT, {"named": json.dumps(dict(named))})
    return set(found.scalars())


def placed_entries(
    connection: Connection, seqs: Collection[int] | None, begin: datetime, end: datetime, size: int
) -> dict[int, Entry]:
    """Return entries by their places in the first ``size``: these, or all, of some time."""
    wanted = None if seqs is None else list(seqs)
    asked = {"seqs": wanted, "begin": begin, "end": end, "size": size}
    return _by_place(connection.execute(_PLACED, asked))


def placed_entries_of_runs(
    connection: Connection, runs: Collection[str], size: int
) -> dict[int, Entry]:
    """Return the starts and ends of runs by their places in the first ``size``."""
    return _by_place(connection.execute(_PLACED_OF_RUNS, {"runs": list(runs), "size": size}))


def _by_place(rows: Iterable[Row[Any]]) -> dict[int, Entry]:
    named = (dict(row._mapping) for row in rows)
    return {one.pop("place"): Entry(**one) for one in named}


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


def run_entries(connection: Connection) -> list[RunEntry]:
    """Return what the ledger says of each flow run it saw begin or end, first begun first."""
    found = dict[str, RunEntry]()
    for row in connection.execute(_RUN_ENTRIES):
        body = json.loads(row.body)
        before = found.get(body["run"])
        is_end = row.event == "run:flow:ended"
        facts = {**(before.facts if before else {}), **body["facts"]}
        found[body["run"]] = RunEntry(
            run_id=body["run"],
            flow=facts["flow"],
            state=facts["state"],
            how=before.how if before else body["how"],
            actor=before.actor if before else body["actor"],
            policy=body["policy"],
            started_at=(before.started_at if before else None) if is_end else row.at,
            ended_at=row.at if is_end else None,
            facts=facts,
        )
    return list(found.values())


def acts_of_run(connection: Connection, run_id: str) -> dict[str, int]:
    """Return how many entries of each event a run wrote since it began."""
    found = connection.execute(_ACTS_OF_RUN, {"run": run_id})
    return {row.event: row.acts for row in found}
