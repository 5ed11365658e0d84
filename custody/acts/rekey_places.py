"""Sealing again what is no record's: documents of consents, intake, quarantine, origins."""

from collections.abc import Iterator
from typing import Final

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.consent import document_context
from custody.database.engine import transaction
from custody.database.sealed_places import (
    DOCUMENT,
    INTAKE,
    LOCATION,
    PLACES,
    QUARANTINE,
    PlacedSeal,
    put_in_place,
    stray_in,
)
from custody.intake import intake_context, location_context, quarantine_context
from custody.keys import wrapping
from custody.seal import Context, DataKey, KeyMissingError, open_at, seal

_PAGE: Final = 500


def rekey_places(custody: Custody, actor: Actor) -> Iterator[int]:
    """Seal again, page by page, whatever is not under the policy's suite; yield how many.

    Where a batch was read from can no longer be opened once its quarantine is over; such an origin
    is noise, and is taken away.

    Raises:
        SealInvalidError: One does not open; its page stays as it is.
    """
    for place in PLACES:
        while True:
            with transaction(custody.data) as connection:
                stray = stray_in(connection, place, custody.suite, _PAGE)
            if not stray:
                break
            changes = [(one, _again(custody, one)) for one in stray]
            with transaction(custody.data) as connection:
                seals = put_in_place(connection, changes)
                if seals:
                    facts = {"suite": custody.suite.name, "place": place, "seals": seals}
                    record(connection, custody, actor, "place:seals:renewed", facts)
            yield seals


def _again(custody: Custody, one: PlacedSeal) -> bytes | None:
    name = f"{one.place} {one.id}/{one.number}"
    try:
        key = _key(custody, one)
    except KeyMissingError:
        if one.place == LOCATION:
            return None
        raise
    context = _context(custody, one)
    return seal(key, open_at(name, key, one.sealed, context), context, custody.suite)


def _key(custody: Custody, one: PlacedSeal) -> DataKey:
    if one.place == DOCUMENT:
        key = custody.keyring.consents.open([one.owner]).get(one.owner)
        if key is None:
            raise KeyMissingError(f"document of consent {one.id}: its key is gone")
        return key
    kind = wrapping.INTAKE if one.place == INTAKE else wrapping.QUARANTINE
    return custody.keyring.batches.open(one.owner, kind)


def _context(custody: Custody, one: PlacedSeal) -> Context:
    installation = custody.installation_id
    contexts = {
        DOCUMENT: lambda: document_context(installation, one.owner, one.id),
        INTAKE: lambda: intake_context(installation, one.id, one.number),
        QUARANTINE: lambda: quarantine_context(installation, one.id, one.number),
        LOCATION: lambda: location_context(installation, one.id),
    }
    return contexts[one.place]()
