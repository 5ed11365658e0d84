"""``custody quarantine``: what was refused and why; show it for correction; try again."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.batches import batch_document, require_gate_passed, store_batch
from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, opened_with_prefect, os_user
from custody.cli.signing import write_new
from custody.errors import Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from custody.acts.quarantine import RevealedRow
    from custody.database.quarantine import QuarantinedRow

app = Group("quarantine", "Refused rows: list, export for correction, retry.")
BatchArgument = Annotated[str, typer.Argument(help="The batch, batch_….")]


@app.offers("list")
def list_rows(
    batch: Annotated[str | None, typer.Argument(help="The batch; none for all.")] = None,
) -> None:
    """List refused rows by number with every code; never their values."""
    from custody.acts.quarantine import list_quarantine
    from custody.counts import count_codes
    from custody.identifiers import BATCH, read_id

    with opened() as custody:
        rows = list_quarantine(custody, read_id(BATCH, batch) if batch else None)
    counts = count_codes(row.codes for row in rows)
    show({"held": len(rows), "reasons": counts, "rows": [_row(row) for row in rows]})


@app.offers("export")
def export(
    batch: BatchArgument,
    *,
    to: Annotated[Path, typer.Option(help="The CSV file to write, readable by you alone.")],
) -> None:
    """Write refused rows in clear into a file, for correction at their source.

    The ledger says so first. Rows refused for want of a lawful basis have no values: none are kept.
    """
    from custody.acts.quarantine import list_quarantine, reveal_quarantine
    from custody.identifiers import BATCH, read_id

    with opened() as custody:
        batch_id = read_id(BATCH, batch)
        if not list_quarantine(custody, batch_id):
            raise RefusedError(batch, (Reason(code="nothing_to_do"),))
        write_new(to, b"")  # before anything is revealed: the place must be good
        rows = reveal_quarantine(custody, os_user(), batch_id)
    to.write_bytes(_csv(rows))
    show({"batch": batch, "rows": len(rows), "file": str(to)}, "quarantine_exported")


@app.offers("retry")
def retry(
    batch: BatchArgument,
    *,
    file: Annotated[
        Path | None, typer.Option(help="Where the source's file lies now, if it was moved.")
    ] = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Leave in intake what passes.")
    ] = False,
) -> None:
    """Judge refused rows again, from their source, and store what passes now."""
    from custody.acts.batches import require_batch
    from custody.acts.quarantine import retry_quarantine
    from custody.identifiers import BATCH, read_id

    with opened_with_prefect() as custody:
        batch_id = read_id(BATCH, batch)
        place = str(file.absolute()) if file else None
        retry_quarantine(custody, os_user(), batch_id, place)
        require_gate_passed(custody, require_batch(custody, batch_id))
        waiting = require_batch(custody, batch_id)
        if not no_store and waiting.state == "ingested":
            store_batch(custody, waiting)
        document = batch_document(custody, batch)
    show(document, "quarantine_retried")


def _row(row: "QuarantinedRow") -> dict[str, object]:
    from custody.identifiers import BATCH, show_id

    return {
        "batch": show_id(BATCH, row.batch_id),
        "row": row.row_number,
        "stage": row.stage,
        "codes": list(row.codes),
        "held_on": row.held_on,
        "values_kept": row.sealed is not None,
    }


def _csv(rows: "Sequence[RevealedRow]") -> bytes:
    """Return the rows as CSV no spreadsheet takes for formulas, in UTF-8 with its mark."""
    from custody.packages.cells import neutralise
    from custody.showing import plain_text

    fields = sorted({name for row in rows for name in row.values})
    kept = io.StringIO()
    writer = csv.writer(kept)
    writer.writerow(["row", "codes", *fields])
    for row in rows:
        values = [plain_text(row.values[name]) if name in row.values else "" for name in fields]
        writer.writerow([row.row_number, " ".join(row.codes), *map(neutralise, values)])
    return kept.getvalue().encode("utf-8-sig")
