"""Sealing again what is no record's: documents of consents, intake, quarantine, origins."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.place_keys import open_keys_of
from custody.acts.recording import record
from custody.consent import document_context
from custody.database.engine import transaction
from custody.database.sealed_places import (
    DOCUMENT,
    FIRST,
    INTAKE,
    LOCATION,
    PLACES,
    QUARANTINE,
    PlacedSeal,
    put_in_place,
    still_in_place,
    stray_in,
)
from custody.intake import intake_context, location_context, quarantine_context
from custody.seal import Context, DataKey, KeyMissingError, open_at, seal
from custody.steps import reached

# A seal of the intake area holds a chunk of rows, the others a row or less.
_PAGE: Final[Mapping[str, int]] = {INTAKE: 8, DOCUMENT: 500, QUARANTINE: 500, LOCATION: 500}


def rekey_places(custody: Custody, actor: Actor) -> Iterator[int]:
    """Seal again, page by page, whatever is not under the policy's suite; yield how many.

    Raises:
        SealInvalidError: One does not open; its page stays as it is.
    """
    for place in PLACES:
        after = FIRST
        while True:
            with transaction(custody.data) as connection:
                stray = stray_in(connection, place, custody.suite, _PAGE[place], after=after)
            if not stray:
                break
            reached("rekey:page-read")
            yield _renew(custody, actor, place, stray)
            after = (stray[-1].id, stray[-1].number)


def _renew(custody: Custody, actor: Actor, place: str, stray: Sequence[PlacedSeal]) -> int:
    keys = open_keys_of(custody, place, {one.owner for one in stray})
    changes = [(one, _again(custody, one, keys)) for one in stray if one.owner in keys]
    keyless = [one for one in stray if one.owner not in keys]
    with transaction(custody.data) as connection:
        seals = put_in_place(connection, place, changes)
        if seals:
            facts = {"suite": custody.suite.name, "place": place, "seals": seals}
            record(connection, custody, actor, "place:seals:renewed", facts)
        if place == LOCATION:
            # Of a batch that expired or was reverted: noise, that nobody reads again.
            put_in_place(connection, place, [(one, None) for one in keyless])
            return seals
        # A key may have gone a moment ago, with what lay under it: stored, expired or reverted.
        for identifier, number in still_in_place(connection, place, keyless):
            raise KeyMissingError(f"{place} {identifier}/{number}: its key is gone")
    return seals


def _again(custody: Custody, one: PlacedSeal, keys: Mapping[UUID, DataKey]) -> bytes:
    key, context = keys[one.owner], _context(custody, one)
    name = f"{one.place} {one.id}/{one.number}"
    return seal(key, open_at(name, key, one.sealed, context), context, custody.suite)


def _context(custody: Custody, one: PlacedSeal) -> Context:
    installation = custody.installation_id
    contexts = {
        DOCUMENT: lambda: document_context(installation, one.owner, one.id),
        INTAKE: lambda: intake_context(installation, one.id, one.number),
        QUARANTINE: lambda: quarantine_context(installation, one.id, one.number),
        LOCATION: lambda: location_context(installation, one.id),
    }
    return contexts[one.place]()
