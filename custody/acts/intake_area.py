"""The intake area and the quarantine of a batch: rows sealed under the batch's own keys."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import batches as tables
from custody.database.quarantine import QuarantinedRow, add_quarantine
from custody.identifiers import BATCH, show_id, time_ordered_id
from custody.intake import IntakeRow, decode_rows, encode_rows, intake_context, quarantine_context
from custody.keys.wrapping import INTAKE, QUARANTINE
from custody.seal import DataKey, open_at, seal


def read_intake(
    custody: Custody, connection: Connection, batch_id: UUID, chunk: int
) -> list[IntakeRow]:
    """Return the accepted rows of a chunk that is not stored yet, none when it is."""
    sealed = tables.find_intake(connection, batch_id, chunk)
    if sealed is None:
        return []
    key = custody.keyring.batches.open(batch_id, INTAKE)
    context = intake_context(custody.installation_id, batch_id, chunk)
    place = f"intake of {show_id(BATCH, batch_id)}, chunk {chunk}"
    return decode_rows(open_at(place, key, sealed, context))


def write_intake(
    custody: Custody, connection: Connection, batch_id: UUID, chunk: int, rows: Sequence[IntakeRow]
) -> None:
    """Seal a chunk's accepted rows into the intake area."""
    key = custody.keyring.batches.key(batch_id, INTAKE, custody.today())
    context = intake_context(custody.installation_id, batch_id, chunk)
    tables.put_intake(
        connection, batch_id, chunk, seal(key, encode_rows(rows), context, custody.suite)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedRow:
    """A row on its way into quarantine.

    Attributes:
        codes: Every reason against it.
        keep_values: Whether its values may be kept, sealed.
    """

    row: IntakeRow
    codes: Collection[str]
    keep_values: bool = True


def hold_rows(
    custody: Custody,
    connection: Connection,
    batch_id: UUID,
    chunk: int,
    stage: str,
    refused: Sequence[RefusedRow],
) -> None:
    """Hold the refused rows of a chunk in quarantine, sealed under the batch's own key."""
    if not refused:
        return
    key = custody.keyring.batches.key(batch_id, QUARANTINE, custody.today())
    held = [
        QuarantinedRow(
            id=time_ordered_id(custody.now()),
            batch_id=batch_id,
            chunk=chunk,
            row_number=one.row.number,
            stage=stage,
            codes=sorted(one.codes),
            row_tag=one.row.content_tag,
            sealed=_sealed_row(custody, batch_id, key, one.row) if one.keep_values else None,
            held_on=custody.today(),
        )
        for one in refused
    ]
    add_quarantine(connection, batch_id, chunk, held)


def _sealed_row(custody: Custody, batch_id: UUID, key: DataKey, row: IntakeRow) -> bytes:
    context = quarantine_context(custody.installation_id, batch_id, row.number)
    return seal(key, encode_rows([row]), context, custody.suite)
