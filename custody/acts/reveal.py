"""The one way from seals to a person's eyes: the ledger entry commits before plaintext returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.sealing import OpenRecord, open_present
from custody.database.engine import transaction
from custody.database.records import records_by_id
from custody.parts import Parts
from custody.policy.model import Level
from custody.record import Value, from_payload
from custody.steps import reached


@dataclass(frozen=True, kw_only=True, slots=True)
class Revealed:
    """One record in clear, with only the fields that were asked for.

    Attributes:
        levels: The level each field was sealed at, which detection may have raised.
    """

    record_id: UUID
    version: int
    customer_id: UUID
    dataset: str
    purpose: str
    alias: str
    values: Mapping[str, Value] = field(repr=False)
    levels: Mapping[str, Level] = field(default_factory=dict)


def reveal(  # noqa: PLR0913 - what a revealing is recorded with
    custody: Custody,
    actor: Actor,
    *,
    record_ids: Sequence[UUID],
    fields: frozenset[str],
    event: str,
    facts: Mapping[str, object],
    guard: Callable[[Connection], None] | None = None,
) -> list[Revealed]:
    """Return the records' fields in clear, once the ledger says so.

    1. The guard, if any, looks once more at what permits it and locks that until the commit.
    2. The seals are read and opened in memory. 3. The entry (persons by alias, fields by name,
    number of records, each as a part) is committed. 4. Only then anything is returned: if the
    ledger cannot be written, nothing is revealed (threats T25).

    Raises:
        SealInvalidError: A record does not open; the place is named.
        DatabaseError: The ledger could not be written.
    """
    with transaction(custody.data) as connection:
        if guard is not None:
            guard(connection)
        opened = open_present(custody, lambda: records_by_id(connection, record_ids))
        shown = [_narrow(custody, one, fields) for one in opened]
        people = sorted({one.alias for one in shown})
        parts = Parts()
        for one in opened:
            parts.add(one.salt, one.row.id, one.row.version)
        record(
            connection,
            custody,
            actor,
            event,
            {**facts, "people": people, "records": len(shown), "fields": sorted(fields)},
            parts,
        )
    reached("reveal:recorded")
    return shown


def _narrow(custody: Custody, opened: OpenRecord, fields: frozenset[str]) -> Revealed:
    row = opened.row
    values = {n: v for n, v in opened.values(custody).items() if n in fields}
    dataset = custody.policy.dataset(row.dataset)
    levels = {
        name: level
        for level, payload in opened.payloads.items()
        for name in from_payload(dataset, payload)
        if name in fields
    }
    return Revealed(
        record_id=row.id,
        version=row.version,
        customer_id=row.customer_id,
        dataset=row.dataset,
        purpose=row.purpose,
        alias=opened.alias,
        values=values,
        levels=levels,
    )
