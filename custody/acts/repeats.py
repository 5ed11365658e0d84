"""Record keys that a batch brings more than once, compared across all of its chunks.

Rows that say the same are one row: the first stays, the others are ``unchanged``. Rows that
contradict each other are all refused, for nothing says which of them is right.
"""

from dataclasses import replace

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.intake_area import RefusedRow, hold_rows, read_intake, write_intake
from custody.counts import add_counts
from custody.database import batches as tables
from custody.database.batches import Batch
from custody.errors import UsageError


def settle_repeats(custody: Custody, connection: Connection, batch: Batch) -> None:
    """Settle the rows whose record key the batch brings more than once."""
    repeats = tables.find_repeats(connection, batch.id)
    chunks = sorted({repeat.chunk for repeat in repeats if repeat.accepted})
    for chunk in chunks:
        here = [r for r in repeats if r.chunk == chunk and r.accepted]
        refused = {r.row_number for r in here if r.contradicts}
        unchanged = {r.row_number for r in here if not r.contradicts and not r.first}
        if refused or unchanged:
            _take_out(custody, connection, batch, chunk, refused, unchanged)


def _take_out(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    chunk: int,
    refused: set[int],
    unchanged: set[int],
) -> None:
    """Take rows out of a chunk's intake copy: into quarantine, or as unchanged."""
    rows = read_intake(custody, connection, batch.id, chunk)
    stay = [row for row in rows if row.number not in refused | unchanged]
    write_intake(custody, connection, batch.id, chunk, stay)
    code = "duplicate_in_batch"
    out = [RefusedRow(row=row, codes=[code]) for row in rows if row.number in refused]
    hold_rows(custody, connection, batch.id, chunk, "ingest", out)
    receipt = tables.find_chunk(connection, batch.id, chunk, lock=True)
    if receipt is None:
        raise UsageError("no such chunk", str(chunk))
    settled = replace(
        receipt,
        read=receipt.read - len(unchanged),
        accepted=receipt.accepted - len(refused) - len(unchanged),
        refused=receipt.refused + len(refused),
        unchanged=receipt.unchanged + len(unchanged),
        reasons=add_counts(receipt.reasons, {code: len(refused)}),
        basis=None,  # it speaks of the rows that went too
    )
    tables.save_chunk(connection, settled)
