"""The gate of store: a chunk is looked at where it was written, before anything of it counts.

As many rows are there as ingest accepted, less those that store refused or knew already; each
under its record key with the tag of the content that was accepted; every compartment holds a seal
under its row's key; the search indexes have every entry. Of some records, chosen at random, the
seals are read back, opened with the key that lies in the key database, and compared with what was
to be written.
"""

from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.draft import Draft, Planned
from custody.acts.sealing import open_records
from custody.database import records
from custody.database.batches import Batch
from custody.database.records import RecordKey
from custody.database.stored import count_stored
from custody.policy.model import Level
from custody.record import Payload
from custody.seal import SealInvalidError

SAMPLE: Final = 16


def check_stored(  # noqa: PLR0913 - what was to be there, from all who know of it
    custody: Custody,
    connection: Connection,
    batch: Batch,
    draft: Draft,
    keys: Sequence[RecordKey],
    accepted: int,
    entries: int,
) -> list[tuple[int, int]]:
    """Return, in the order of the stage's suite, how many were looked at and how many failed.

    Args:
        custody: The installation.
        connection: The transaction that wrote the chunk.
        batch: The batch it is of.
        draft: What became of every row that store found in intake.
        keys: The record keys that are to lead to those that were written.
        accepted: How many rows ingest accepted.
        entries: How many entries the search indexes are to have of them.
    """
    planned, wanted = draft.planned, len(draft.planned)
    lost = abs(accepted - wanted - len(draft.refused) - draft.unchanged)
    there = count_stored(connection, batch.id, sorted({one.period for one in planned}), keys)
    seals = sum(sum(map(bool, one.payloads.values())) for one in planned)
    sample = SystemRandom().sample(planned, min(SAMPLE, wanted))
    return [
        (accepted, lost + abs(wanted - there.records)),
        (wanted, wanted - there.contents),
        (seals, there.unsealed + abs(seals - there.seals)),
        (wanted, wanted - there.keys),
        (entries, abs(entries - there.search)),
        (len(sample), _differing(custody, connection, sample)),
    ]


def _differing(custody: Custody, connection: Connection, sample: Sequence[Planned]) -> int:
    """Return how many records do not open to what was to be written."""
    accepted = {one.record_id: _together(one.payloads) for one in sample}
    differing = len(accepted)
    for row in records.records_by_id(connection, list(accepted)):
        try:
            (opened,) = open_records(custody, [row])
        except SealInvalidError:
            continue
        differing -= _together(opened.payloads) == accepted[row.id]
    return differing


def _together(payloads: Mapping[Level, Payload]) -> Payload:
    return {number: value for one in payloads.values() for number, value in one.items()}
