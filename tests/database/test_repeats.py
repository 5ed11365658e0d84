"""Rows of a batch that have one key are found at once, also among rows written a moment ago."""

import time
from uuid import uuid4

from own_databases import Databases
from sqlalchemy import text

from custody.database import batches
from custody.database.batches import BatchRow, Repeat
from custody.database.engine import make_engine, transaction

ROWS, TWICE = 20_000, 200
SECONDS = 10.0  # read anew for each row it took more than a minute


def row(number: int, *, key: int, content: int, accepted: bool = True) -> BatchRow:
    return BatchRow(
        row_number=number,
        record_tag=key.to_bytes(16, "big"),
        content_tag=content.to_bytes(16, "big"),
        accepted=accepted,
    )


def test_repeats_are_found_without_reading_everything_again_for_each(databases: Databases) -> None:
    engine, batch_id = make_engine(databases.owner_url), uuid4()
    rows = [row(number, key=number, content=number) for number in range(ROWS)]
    again = [
        row(ROWS + place, key=place, content=place + (place % 2), accepted=place > 0)
        for place in range(TWICE)
    ]
    with transaction(engine) as connection:  # what the planner knows is of another batch
        batches.add_batch_rows(connection, uuid4(), 0, rows[: ROWS // 2])
        connection.execute(text("ANALYZE batch_rows"))
    with transaction(engine) as connection:
        batches.add_batch_rows(connection, batch_id, 0, rows)
        batches.add_batch_rows(connection, batch_id, 1, again)
        began = time.monotonic()
        found = batches.find_repeats(connection, batch_id)
        took = time.monotonic() - began
    assert [one.row_number for one in found] == [*range(TWICE), *range(ROWS, ROWS + TWICE)]
    assert found[0] == Repeat(chunk=0, row_number=0, accepted=True, contradicts=False, first=True)
    assert found[TWICE + 1] == Repeat(
        chunk=1, row_number=ROWS + 1, accepted=True, contradicts=True, first=False
    )
    assert took < SECONDS
