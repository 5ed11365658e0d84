"""What two installations with the same keys must have in common, whatever their random identifiers.

A customer is named by the tags of identity and consents, a record by the tag of its key, a batch by
source and content: these are keyed hashes, equal where the keys are. Everything sealed is opened.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from custody.acts.context import Custody
from custody.acts.intake_area import read_intake
from custody.acts.quarantine import open_held
from custody.acts.sealing import open_records
from custody.acts.verify import verify_installation
from custody.database import batches as batch_tables
from custody.database import quarantine as quarantine_tables
from custody.database import records
from custody.database.engine import transaction

Names = Mapping[Any, str]
_MOST = 10_000
_COUNTED = (
    "chunk:ingest:completed", "chunk:store:completed", "chunk:consents:recorded",
    "batch:ingest:opened", "batch:ingest:completed", "batch:store:completed",
    "consent:subject:withdrawn", "customer:hold:set", "plan:destroy:written",
    "plan:destroy:begun", "record:data:deleted", "certificate:destroy:issued",
)  # fmt: skip


def fingerprint(custody: Custody) -> dict[str, object]:
    """Return the whole state, mapped; also verify what holds in any state."""
    verify_installation(custody, deep=True)
    with transaction(custody.data) as connection:
        people, batches = _people(connection), _batches(connection)
        return {
            "customers": _customers(connection, people),
            "consents": _consents(connection, people),
            "batches": _batch_rows(connection, batches),
            "chunks": _chunks(connection, batches),
            "intake": _intake(custody, connection, batches),
            "quarantine": _quarantine(custody, connection, batches),
            "records": _records(custody, connection, people, batches),
            "search": _search(connection, people),
            "holds": _holds(connection, people),
            "plans": _plans(connection),
            "ledger": _ledger(connection),
            "keys": _keys(custody, connection),
        }


def rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """Return a statement's rows as plain tuples."""
    return [
        tuple(bytes(v).hex() if isinstance(v, memoryview | bytes) else v for v in row)
        for row in connection.execute(text(statement))
    ]


def _people(connection: Connection) -> dict[UUID, str]:
    found: dict[UUID, list[str]] = {}
    for customer, tag in rows(
        connection,
        "SELECT customer_id, row_tag FROM consents UNION SELECT customer_id, tag FROM"
        " identity_tags WHERE customer_id NOT IN (SELECT customer_id FROM consents) ORDER BY 1, 2",
    ):
        found.setdefault(customer, []).append(tag)
    return {customer: "+".join(tags) for customer, tags in found.items()}


def _batches(connection: Connection) -> dict[UUID, str]:
    found = rows(connection, "SELECT id, source, content_tag FROM batches")
    return {batch: f"{source}/{content}" for batch, source, content in found}


def _customers(connection: Connection, people: Names) -> object:
    tags: dict[UUID, list[str]] = {}
    for customer, tag, reference, single in rows(
        connection, "SELECT customer_id, tag, reference, single FROM identity_tags ORDER BY tag"
    ):
        tags.setdefault(customer, []).append(f"{tag}/{reference}/{single}")
    states = rows(connection, "SELECT id, state FROM customers")
    gone = sorted(r[0] for r in rows(connection, "SELECT tag FROM suppression_tags"))
    clocks = rows(connection, "SELECT customer_id, event, on_day FROM retention_events")
    return (
        sorted((people[customer], state, *tags.get(customer, [])) for customer, state in states),
        gone,
        sorted((people[customer], *rest) for customer, *rest in clocks),
    )


def _consents(connection: Connection, people: Names) -> object:
    found = rows(
        connection,
        "SELECT customer_id, row_tag, purpose, kind, recipient, given_at, withdrawn_at,"
        " document IS NULL FROM consents",
    )
    return sorted((people[customer], *map(str, rest)) for customer, *rest in found)


def _batch_rows(connection: Connection, batches: Names) -> object:
    found = rows(connection, "SELECT id, state, chunks FROM batches")
    compared = rows(connection, "SELECT batch_id, row_number, record_tag FROM batch_rows")
    return (
        sorted((batches[batch], *rest) for batch, *rest in found),
        sorted((batches[batch], *rest) for batch, *rest in compared),
    )


def _chunks(connection: Connection, batches: Names) -> object:
    found = rows(
        connection,
        "SELECT batch_id, chunk, state, read, accepted, refused, unchanged, stored, replaced,"
        " reasons, warnings, dropped, quality FROM batch_chunks",
    )
    return sorted(str((batches[batch], *rest)) for batch, *rest in found)


def _intake(custody: Custody, connection: Connection, batches: Names) -> object:
    found = rows(connection, "SELECT batch_id, chunk FROM intake")
    return sorted(
        (batches[batch], chunk, str(read_intake(custody, connection, batch, chunk)))
        for batch, chunk in found
    )


def _quarantine(custody: Custody, connection: Connection, batches: Names) -> object:
    found = []
    for row in quarantine_tables.held_rows(connection):
        batch = batch_tables.find_batch(connection, row.batch_id)
        assert batch is not None
        (held,) = open_held(custody, batch, [row])
        values = sorted(held.values.items())
        codes, tag = sorted(row.codes), bytes(row.row_tag).hex()
        found.append(str((batches[batch.id], row.row_number, row.stage, codes, tag, values)))
    return sorted(found)


def _records(custody: Custody, connection: Connection, people: Names, batches: Names) -> object:
    keys = {
        r[0]: r[1:] for r in rows(connection, "SELECT record_id, tag, version FROM record_keys")
    }
    everything = records.records_after(connection, UUID(int=0), _MOST)
    assert len(everything) < _MOST, "this is for small installations"
    aliases: dict[str, set[UUID]] = {}
    found = []
    for one in open_records(custody, everything):
        row = one.row
        aliases.setdefault(one.alias, set()).add(row.customer_id)
        payloads = {
            level.value: sorted((n, v) for n, v in payload.items() if n)
            for level, payload in one.payloads.items()
        }
        place = (row.dataset, row.purpose, row.namespace, row.version, row.period, row.ends_on)
        origin = (batches[row.batch_id], row.row_number, row.level_raised)
        found.append(str((keys[row.id], people[row.customer_id], place, origin, payloads)))
    assert all(len(owners) == 1 for owners in aliases.values())
    assert len(aliases) == len({row.customer_id for row in everything})
    assert keys.keys() == {row.id for row in everything}
    return sorted(found)


def _search(connection: Connection, people: Names) -> object:
    found = rows(
        connection,
        "SELECT s.kind, s.tag, s.customer_id, k.tag FROM search_index s"
        " LEFT JOIN record_keys k USING (record_id)",
    )
    return sorted((kind, tag, people[customer], key) for kind, tag, customer, key in found)


def _holds(connection: Connection, people: Names) -> object:
    found = rows(
        connection,
        "SELECT h.customer_id, h.reason, h.lifted_at IS NULL, k.tag FROM holds h"
        " LEFT JOIN record_keys k USING (record_id)",
    )
    return sorted(str((people[customer], *rest)) for customer, *rest in found)


def _plans(connection: Connection) -> object:
    return (
        sorted(map(str, rows(connection, "SELECT as_of, state, summary FROM plans"))),
        sorted(
            rows(
                connection,
                "SELECT dataset, reason, outcome, count(*) FROM plan_records GROUP BY 1, 2, 3",
            )
        ),
        sorted(
            rows(
                connection,
                "SELECT state, ends_identity, count(*) FROM plan_customers GROUP BY 1, 2",
            )
        ),
        rows(connection, "SELECT count(*) FROM certificates"),
    )


def _ledger(connection: Connection) -> object:
    events = Counter(r[0] for r in rows(connection, "SELECT event FROM ledger.entries"))
    return [(event, events[event]) for event in _COUNTED]


def _keys(custody: Custody, connection: Connection) -> object:
    """Return what still waits for its end; every record's key was opened on the way here."""
    pending = rows(connection, "SELECT count(*) FROM key_endings")
    erased = [r[0] for r in rows(connection, "SELECT id FROM customers WHERE state = 'erased'")]
    with transaction(custody.keyring.turner.engine) as own:
        query = text("SELECT customer_id, key_id FROM data_keys WHERE customer_id = ANY(:erased)")
        left = [tuple(row) for row in own.execute(query, {"erased": erased})]
    return pending, left
