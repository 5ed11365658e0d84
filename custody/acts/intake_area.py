"""The intake area and the quarantine of a batch: rows sealed under the batch's own keys."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import batches as tables
from custody.database.quarantine import QuarantinedRow
from custody.identifiers import BATCH, show_id, time_ordered_id
from custody.intake import IntakeRow, decode_rows, encode_rows, intake_context, quarantine_context
from custody.keys.wrapping import INTAKE, QUARANTINE
from custody.seal import open_at, seal


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


def quarantined(  # noqa: PLR0913 - one row of the quarantine
    custody: Custody,
    batch_id: UUID,
    chunk: int,
    stage: str,
    row: IntakeRow,
    codes: Sequence[str],
    *,
    keep_values: bool,
) -> QuarantinedRow:
    """Return a refused row for the quarantine, its values sealed only where they may be kept."""
    sealed = None
    if keep_values:
        key = custody.keyring.batches.key(batch_id, QUARANTINE, custody.today())
        context = quarantine_context(custody.installation_id, batch_id, row.number)
        sealed = seal(key, encode_rows([row]), context, custody.suite)
    return QuarantinedRow(
        id=time_ordered_id(custody.now()),
        batch_id=batch_id,
        chunk=chunk,
        row_number=row.number,
        stage=stage,
        codes=sorted(codes),
        row_tag=row.content_tag,
        sealed=sealed,
        held_on=custody.today(),
    )
