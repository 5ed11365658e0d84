"""Everything an installation holds, opened: what stays the same whatever happens to its keys."""

from collections.abc import Iterable
from uuid import UUID

from custody.acts.context import Custody
from custody.acts.sealing import open_records
from custody.database import records
from custody.database.engine import transaction
from custody.keys.root import RootUnavailableError
from custody.record import RecordRow
from custody.seal import SealInvalidError


def rows_of(custody: Custody) -> list[RecordRow]:
    """Return every record, sealed."""
    with transaction(custody.data) as connection:
        return records.records_after(connection, UUID(int=0), 100_000)


def values_of(custody: Custody) -> dict[UUID, object]:
    """Return the values of every record by its id."""
    return {one.row.id: one.payloads for one in open_records(custody, rows_of(custody))}


def count_opening(custody: Custody, ids: Iterable[UUID]) -> int:
    """Return how many of these records open; all of them must be there."""
    wanted = set(ids)
    rows = [row for row in rows_of(custody) if row.id in wanted]
    assert {row.id for row in rows} == wanted
    return sum(_opens(custody, row) for row in rows)


def _opens(custody: Custody, row: RecordRow) -> bool:
    try:
        return bool(open_records(custody, [row]))
    except (SealInvalidError, RootUnavailableError):
        return False
