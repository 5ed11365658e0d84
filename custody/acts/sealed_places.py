"""Every seal that is not a record's, opened: intake, quarantine, documents, origins."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from custody.acts.context import Custody
from custody.acts.intake_area import read_intake
from custody.acts.opening import location_of
from custody.acts.quarantine import open_held
from custody.consent import document_context
from custody.database import batches as tables
from custody.database import consents as consent_tables
from custody.database import quarantine as quarantine_tables
from custody.database.batches import Batch
from custody.database.engine import transaction
from custody.seal import KeyMissingError, open_at

_PAGE: Final = 2000


def open_every_place(custody: Custody) -> int:
    """Open every such seal and return how many there are.

    Raises:
        SealInvalidError: One does not open; its place is named.
    """
    return (
        _open_intake(custody)
        + _open_quarantine(custody)
        + _open_locations(custody)
        + sum(_open_documents(custody))
    )


def _open_intake(custody: Custody) -> int:
    with transaction(custody.data) as connection:
        chunks = tables.intake_chunks(connection)
    for batch_id, chunk in chunks:
        with transaction(custody.data) as connection:
            try:
                read_intake(custody, connection, batch_id, chunk)
            except KeyMissingError:
                # Stored a moment ago, and the key went with the last chunk; or else it is lost.
                read_intake(custody, connection, batch_id, chunk)
    return len(chunks)


def _open_quarantine(custody: Custody) -> int:
    with transaction(custody.data) as connection:
        batches = tables.list_batches(connection)
    return sum(_open_quarantine_of(custody, batch) for batch in batches)


def _open_quarantine_of(custody: Custody, batch: Batch) -> int:
    def opened() -> int:
        with transaction(custody.data) as connection:
            held = quarantine_tables.held_rows(connection, batch.id)
        open_held(custody, batch, held)
        return sum(row.sealed is not None for row in held)

    try:
        return opened()
    except KeyMissingError:
        # They expired a moment ago, and the key went with the last; or else it is lost.
        return opened()


def _open_locations(custody: Custody) -> int:
    """Open where batches were read from; with the quarantine's key the place is gone for good."""
    with transaction(custody.data) as connection:
        batches = [one for one in tables.list_batches(connection) if one.location is not None]
    opened = 0
    for batch in batches:
        try:
            location_of(custody, batch)
        except KeyMissingError:
            continue
        opened += 1
    return opened


def _open_documents(custody: Custody) -> Iterator[int]:
    after = UUID(int=0)
    while True:
        with transaction(custody.data) as connection:
            page = consent_tables.documents_after(connection, after, _PAGE)
        if not page:
            return
        keys = custody.keyring.consents.open({customer for _, customer, _ in page})
        for consent_id, customer, sealed in page:
            place = f"document of consent {consent_id}"
            if customer not in keys:
                raise KeyMissingError(f"{place}: its key is gone")
            context = document_context(custody.installation_id, customer, consent_id)
            open_at(place, keys[customer], sealed, context)
        yield len(page)
        after = page[-1][0]
