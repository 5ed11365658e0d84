"""``custody ingest``: take a source in, revert a batch, list batches."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.batches import (
    Document,
    batch_document,
    described,
    ingest_batch,
    repeated,
    require_gate_passed,
    require_something,
    store_batch,
)
from custody.cli.groups import Group, RunByDefault
from custody.cli.output import show
from custody.cli.session import opened, opened_with_prefect, os_user
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.database.batches import Batch

app = Group("ingest", "Take a source in: custody ingest FILE --source NAME.", cls=RunByDefault)
_STDIN = "-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - private files of ours, and never on a disk


@app.offers("run")
def run(
    file: Annotated[
        str | None, typer.Argument(help="The file; - for stdin; none where sources.yaml says it.")
    ] = None,
    *,
    source: Annotated[str, typer.Option(help="The source's name in sources.yaml.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row and write nothing.")
    ] = False,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Leave the batch in intake; custody store goes on.")
    ] = False,
) -> None:
    """Take in a source; `custody ingest FILE --source NAME` for short.

    Quality and lawful basis of every row are checked, what the purpose does not need is dropped,
    what is accepted is sealed and stored, what is refused is held with every reason.
    The same content twice changes nothing.
    """
    with _place(file) as place:
        if dry_run:
            with opened() as custody:
                show(_examine(custody, source, place), "ingest_examined")
            return
        with opened_with_prefect() as custody:
            document = take_in(custody, source, place, stored=not no_store)
    require_something(document)
    show(document, "ingest_done" if document["accepted"] else "ingest_repeated")


@app.offers("revert")
def revert(batch: Annotated[str, typer.Argument(help="The batch, batch_….")]) -> None:
    """Undo a batch of which nothing is stored yet.

    What is stored goes by a plan: custody destroy plan --batch.
    """
    from custody.acts.batches import revert_batch
    from custody.identifiers import BATCH, read_id

    with opened() as custody:
        revert_batch(custody, os_user(), read_id(BATCH, batch))
        document = batch_document(custody, batch)
    show(document, "batch_reverted")


@app.offers("list")
def list_batches() -> None:
    """List every batch with its state and counts."""
    from custody.acts.batches import receipts_of, total
    from custody.database.batches import list_batches as every_batch
    from custody.database.engine import transaction

    with opened() as custody:
        with transaction(custody.data) as connection:
            batches = every_batch(connection)
        rows = [described(one, total(one.id, receipts_of(custody, one.id))) for one in batches]
    show({"batches": [_line(row) for row in rows]})


def _line(document: Document) -> Document:
    return {name: value for name, value in document.items() if not isinstance(value, dict)}


def take_in(custody: "Custody", source: str, place: str | None, *, stored: bool) -> Document:
    """Run the flows that take a source in, from where its batch stands, and return the batch.

    Args:
        custody: The installation, with Prefect running.
        source: The source's name in the policy.
        place: The file or URL; None where the policy says it.
        stored: Whether it is stored too.
    """
    from custody.acts.batches import open_batch

    batch = open_batch(custody, os_user(), source, place)
    if batch.state == "stored":
        return repeated(custody, batch)
    if batch.state == "open":
        ingest_batch(custody, batch)
    require_gate_passed(custody, batch)
    batch = _again(custody, batch)
    if stored and batch.state == "ingested":
        store_batch(custody, batch)
    return batch_document(custody, _shown(batch))


def _examine(custody: "Custody", source: str, place: str | None) -> Document:
    from custody.acts.taking import examine_source

    document = described(*examine_source(custody, source, place))
    return {"source": source, "dry_run": True, **document, "batch": "", "state": "examined"}


def _again(custody: "Custody", batch: "Batch") -> "Batch":
    from custody.acts.batches import require_batch

    return require_batch(custody, batch.id)


def _shown(batch: "Batch") -> str:
    from custody.identifiers import BATCH, show_id

    return show_id(BATCH, batch.id)


@contextmanager
def _place(file: str | None) -> Iterator[str | None]:
    """Yield where the source lies; what comes on stdin is kept in memory until it is read."""
    if file is None or "://" in file:
        yield file
    elif file != _STDIN:
        yield str(_existing(Path(file)))
    else:
        folder = _MEMORY if _MEMORY.is_dir() else None
        with tempfile.NamedTemporaryFile(dir=folder, prefix="custody-") as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.flush()
            yield kept.name


def _existing(file: Path) -> Path:
    if not file.exists():
        raise UsageError("there is no such file")
    return file.absolute()
