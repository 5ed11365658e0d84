"""Sharing the chunks of a batch: any number of processes, on any number of machines.

Whoever works on a chunk holds a lock on it in the data database; the lock goes with the
transaction, so also when the process dies, and then somebody else takes the chunk. Everybody stays
until every chunk is done, so whoever comes to the end may close the batch.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from custody.acts.context import Custody
from custody.database import batches as tables
from custody.database.batches import Batch
from custody.database.engine import transaction

_INGESTED: Final = frozenset({"ingested", "stored"})
_STORED: Final = frozenset({"stored"})
_STATES: Final = {"ingest": _INGESTED, "store": _STORED}
_PATIENCE: Final = 0.2  # seconds between looks at what others are doing


def share_chunks(
    custody: Custody, batch: Batch, stage: str, numbers: Sequence[int], do: Callable[[int], object]
) -> int:
    """Do those of the chunks that nobody else does, until all are done; return how many that were.

    Args:
        custody: The installation.
        batch: The batch.
        stage: ``ingest`` or ``store``.
        numbers: The chunks, by number.
        do: Does one; again, on a chunk that is done, it changes nothing.
    """
    done = 0
    while waiting := _waiting(custody, batch, stage, numbers):
        count = sum(_done_here(custody, batch, stage, number, do) for number in waiting)
        done += count
        if not count:
            time.sleep(_PATIENCE)
    return done


def _waiting(custody: Custody, batch: Batch, stage: str, numbers: Sequence[int]) -> list[int]:
    with transaction(custody.data) as connection:
        states = tables.chunk_states(connection, batch.id)
    return [number for number in numbers if states.get(number) not in _STATES[stage]]


def _done_here(
    custody: Custody, batch: Batch, stage: str, number: int, do: Callable[[int], object]
) -> bool:
    with transaction(custody.data) as connection:
        if not tables.claim_chunk(connection, batch.id, number, stage):
            return False
        # Done by somebody who had it when the list was made.
        receipt = tables.find_chunk(connection, batch.id, number)
        if receipt is not None and receipt.state in _STATES[stage]:
            return False
        do(number)
        return True
