"""Opening what a batch reads: where it lies, how it is cut, and whether it is the same still."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from custody.acts.context import Custody
from custody.database.batches import Batch
from custody.errors import Reason, RefusedError
from custody.identifiers import BATCH, show_id
from custody.intake import location_context
from custody.keys.wrapping import QUARANTINE
from custody.policy.model import CONSENTS, Dataset
from custody.seal import open_at
from custody.sources import Reader, open_source
from custody.sources.consents import consents_dataset


def open_reader(custody: Custody, source_name: str, location: str | None) -> Reader:
    """Open a registered source, at ``location`` where the policy leaves it open.

    Raises:
        UnknownNameError: The policy has no such source.
        UsageError: It cannot be read, or lacks required columns.
    """
    return _open(custody, source_name, location, custody.chunk_rows, {})


def open_batch_reader(custody: Custody, batch: Batch, location: str | None = None) -> Reader:
    """Open what a batch reads, cut as it was when the batch was opened.

    Args:
        custody: The installation.
        batch: The batch.
        location: Where its source lies by now, None where it lay.

    Raises:
        UsageError: The source cannot be read.
        RefusedError: It says something else by now.
    """
    layout = batch.layout or {}
    rows, known = layout.get("chunk_rows", custody.chunk_rows), layout.get("reader", {})
    place = location or location_of(custody, batch)
    with ExitStack() as closing:
        reader = closing.enter_context(_open(custody, batch.source, place, rows, known))
        if reader.layout.get("state") != known.get("state"):
            require_same_content(custody, batch, reader)
        closing.pop_all()
    return reader


def require_same_content(custody: Custody, batch: Batch, reader: Reader) -> None:
    """Require that a source says what it said when the batch was opened.

    Raises:
        RefusedError: It says something else by now.
    """
    if content_tag_of(custody, reader) != bytes(batch.content_tag):
        reasons = (Reason(code="source_changed", about=batch.source),)
        raise RefusedError(show_id(BATCH, batch.id), reasons)


def location_of(custody: Custody, batch: Batch) -> str | None:
    """Return where the batch was read from, None where the policy says it."""
    if batch.location is None:
        return None
    key = custody.keyring.batches.open(batch.id, QUARANTINE)
    context = location_context(custody.installation_id, batch.id)
    place = f"location of {show_id(BATCH, batch.id)}"
    return open_at(place, key, batch.location, context).decode()


def content_tag_of(custody: Custody, reader: Reader) -> bytes:
    """Return the keyed hash of everything a source holds."""
    running = custody.keyring.tags.content_stream()
    reader.digest(running.update)
    return running.digest()


def dataset_of(custody: Custody, name: str) -> Dataset:
    """Return the policy's dataset, or the fixed one of consents."""
    return consents_dataset(custody.policy) if name == CONSENTS else custody.policy.dataset(name)


def _open(
    custody: Custody,
    source_name: str,
    location: str | None,
    chunk_rows: int,
    known: Mapping[str, Any],
) -> Reader:
    source = custody.policy.source(source_name)
    required: frozenset[str] = frozenset()
    if source.purpose is not None:
        required = custody.policy.scope(source.purpose, source.dataset).required
    return open_source(
        source,
        location=location,
        dataset=dataset_of(custody, source.dataset),
        chunk_rows=chunk_rows,
        environment=custody.environment,
        required=required,
        known=known,
    )
