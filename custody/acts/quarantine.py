"""The quarantine: what was refused, why, and how a row gets out of it.

Retrying reads the source again and judges the refused rows as if they came now, for rows without
lawful basis were never kept. What passes leaves the quarantine for a further chunk of its batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.batches import close_batch, facts_of, receipts_of, require_batch
from custody.acts.clock import require_steady_clock
from custody.acts.context import Actor, Custody
from custody.acts.opening import dataset_of, open_batch_reader, require_same_content
from custody.acts.recording import record
from custody.acts.taking import take_chunk
from custody.counts import add_counts, count_codes
from custody.database import batches as tables
from custody.database import quarantine as quarantine_tables
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.database.quarantine import QuarantinedRow
from custody.errors import Reason, RefusedError
from custody.identifiers import BATCH, show_id
from custody.intake import decode_rows, quarantine_context
from custody.keys.wrapping import QUARANTINE
from custody.rows import Chunk, RawRow
from custody.seal import DataKey, open_at
from custody.steps import reached


@dataclass(frozen=True, kw_only=True, slots=True)
class RevealedRow:
    """A quarantined row with the values that were kept, if any were."""

    batch_id: UUID
    row_number: int
    codes: Sequence[str]
    values: Mapping[str, str] = field(repr=False)


def list_quarantine(custody: Custody, batch_id: UUID | None = None) -> list[QuarantinedRow]:
    """Return the refused rows of a batch, or of all, without their values.

    Raises:
        UsageError: There is no such batch.
    """
    if batch_id is not None:
        require_batch(custody, batch_id)
    with transaction(custody.data) as connection:
        return quarantine_tables.held_rows(connection, batch_id)


def reveal_quarantine(custody: Custody, actor: Actor, batch_id: UUID) -> list[RevealedRow]:
    """Return a batch's refused rows in clear, once the ledger says so.

    Rows refused for want of a lawful basis have no values to show: none were kept.
    """
    batch = require_batch(custody, batch_id)
    with transaction(custody.data) as connection:
        rows = quarantine_tables.held_rows(connection, batch_id)
        shown = open_held(custody, batch, rows)
        facts = {"batch": show_id(BATCH, batch_id), "rows": len(shown)}
        record(connection, custody, actor, "quarantine:rows:revealed", facts)
    reached("quarantine:recorded")
    return shown


def retry_quarantine(
    custody: Custody, actor: Actor, batch_id: UUID, location: str | None = None
) -> ChunkReceipt:
    """Judge a batch's refused rows again, from the source as it is registered.

    Raises:
        RefusedError: Nothing is in quarantine, or the source no longer holds what the batch read.
    """
    batch = require_batch(custody, batch_id)
    with transaction(custody.data) as connection:
        held = quarantine_tables.held_rows(connection, batch_id)
    if not held:
        raise RefusedError(show_id(BATCH, batch_id), (Reason(code="nothing_to_do"),))
    rows = _read_again(custody, batch, {row.row_number for row in held}, location)
    first = len(receipts_of(custody, batch.id))
    for number, start in enumerate(range(0, len(rows), custody.chunk_rows), first):
        chunk = Chunk(number=number, rows=rows[start : start + custody.chunk_rows])
        leave = partial(_leave, custody, actor, batch, held, chunk)
        take_chunk(custody, actor, batch, chunk, within=leave)
    return close_batch(custody, actor, batch_id)


def expire_quarantine(custody: Custody, actor: Actor) -> int:
    """Destroy the rows that were held for as long as the policy says; return how many.

    A batch of that time of which no row is held any more, or ever was, loses its quarantine key
    too, and with it the sealed place it was read from. So nothing keeps the key of its day.
    """
    before = custody.today() - timedelta(days=custody.policy.settings.quarantine_days)
    aged = custody.keyring.batches.of_days_before(before, QUARANTINE)
    with transaction(custody.data) as connection:
        require_steady_clock(connection, custody, "quarantine")
        # The batches first, as everybody does who takes rows out of quarantine.
        holding = quarantine_tables.batches_held_before(connection, before)
        there = tables.lock_batches(connection, aged.union(holding))
        gone = quarantine_tables.expire_quarantine(connection, before)
        emptied = quarantine_tables.batches_without_held(connection, aged.union(gone))
        # The key of a batch whose opening was killed before there was one.
        orphans = aged - there
        if not (gone or emptied or orphans):
            return 0
        # Before the commit: killed behind it, nobody would know that these keys were to go.
        for batch_id in orphans.union(emptied):
            custody.keyring.batches.drop(batch_id, QUARANTINE)
        tables.forget_locations(connection, emptied)
        reached("quarantine:keys-deleted")
        ended = len(emptied) + len(orphans)
        facts = {"rows": len(gone), "batches": len(set(gone)), "keys_to_end": ended}
        record(connection, custody, actor, "quarantine:rows:destroyed", facts)
    return len(gone)


def open_held(custody: Custody, batch: Batch, rows: Sequence[QuarantinedRow]) -> list[RevealedRow]:
    """Return a batch's rows with their values; people see them through :func:`reveal_quarantine`.

    Raises:
        SealInvalidError: One does not open; the place is named.
        KeyMissingError: Of these: the batch's key is gone, perhaps with the rows, a moment ago.
    """
    sealed = [row for row in rows if row.sealed is not None]
    values: dict[int, dict[str, str]] = {}
    if sealed:
        key = custody.keyring.batches.open(batch.id, QUARANTINE)
        values = {row.row_number: _values(custody, batch, row, key) for row in sealed}
    return [
        RevealedRow(
            batch_id=batch.id,
            row_number=row.row_number,
            codes=row.codes,
            values=values.get(row.row_number, {}),
        )
        for row in rows
    ]


def _values(custody: Custody, batch: Batch, row: QuarantinedRow, key: DataKey) -> dict[str, str]:
    context = quarantine_context(custody.installation_id, batch.id, row.row_number)
    place = f"quarantine of {show_id(BATCH, batch.id)}, row {row.row_number}"
    (kept,) = decode_rows(open_at(place, key, row.sealed or b"", context))
    dataset = dataset_of(custody, batch.dataset)
    return {field.name: str(value) for field, value in dataset.present(kept.values)}


def _read_again(
    custody: Custody, batch: Batch, wanted: set[int], location: str | None
) -> tuple[RawRow, ...]:
    with open_batch_reader(custody, batch, location) as reader:
        require_same_content(custody, batch, reader)
        return tuple(row for chunk in reader.chunks() for row in chunk.rows if row.number in wanted)


def _leave(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    held: Sequence[QuarantinedRow],
    chunk: Chunk,
    connection: Connection,
) -> None:
    """Take a chunk's rows out of the quarantine and out of the counts they stood in."""
    numbers = {row.number for row in chunk.rows}
    leaving = [row for row in held if row.row_number in numbers]
    tables.lock_batch(connection, batch.id)
    for number in sorted({row.chunk for row in leaving}):
        codes = [row.codes for row in leaving if row.chunk == number]
        _take_from_counts(connection, batch, number, codes)
    quarantine_tables.drop_quarantine(connection, batch.id, numbers)
    tables.set_batch_chunks(connection, batch.id, chunk.number + 1)
    tables.set_batch_state(connection, batch.id, "open")
    receipt = ChunkReceipt(batch_id=batch.id, chunk=chunk.number, state="ingested")
    facts = {**facts_of(batch, receipt), "retried": len(leaving)}
    record(connection, custody, actor, "quarantine:rows:retried", facts)


def _take_from_counts(
    connection: Connection, batch: Batch, number: int, codes: Sequence[Iterable[str]]
) -> None:
    receipt = tables.find_chunk(connection, batch.id, number, lock=True)
    if receipt is None:
        return
    fewer = {code: -count for code, count in count_codes(codes).items()}
    settled = replace(
        receipt,
        read=receipt.read - len(codes),
        refused=receipt.refused - len(codes),
        reasons=add_counts(receipt.reasons, fewer),
    )
    tables.save_chunk(connection, settled)
