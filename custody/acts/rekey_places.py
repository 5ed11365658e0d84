"""Sealing again what is no record's: documents of consents, intake, quarantine, origins."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from custody.acts.context import Actor, Custody
from custody.acts.place_keys import open_keys_of, owners_with_key
from custody.acts.recording import record
from custody.acts.renewed import Renewed
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
from custody.seal import Context, DataKey, SealInvalidError, open_seal, seal
from custody.steps import reached

# A seal of the intake area holds a chunk of rows, the others a row or less.
_PAGE: Final[Mapping[str, int]] = {INTAKE: 8, DOCUMENT: 500, QUARANTINE: 500, LOCATION: 500}


def rekey_places(custody: Custody, actor: Actor) -> Iterator[Renewed]:
    """Seal again, page by page, whatever is not under the policy's suite; yield what came of it.

    What does not open stays as it is: nobody knows what it says, or who put it there.
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


def _renew(custody: Custody, actor: Actor, place: str, stray: Sequence[PlacedSeal]) -> Renewed:
    owners = {one.owner for one in stray}
    keys = open_keys_of(custody, place, owners)
    damaged = owners_with_key(custody, place, owners - keys.keys())
    changes = list[tuple[PlacedSeal, bytes | None]]()
    keyless, unreadable = list[PlacedSeal](), 0
    for one in stray:
        if one.owner not in keys:
            if one.owner in damaged:
                unreadable += 1
            else:
                keyless.append(one)
            continue
        try:
            changes.append((one, _again(custody, one, keys[one.owner])))
        except SealInvalidError:
            unreadable += 1
    with transaction(custody.data) as connection:
        seals = put_in_place(connection, place, changes)
        if seals:
            facts = {"suite": custody.suite.name, "place": place, "seals": seals}
            record(connection, custody, actor, "place:seals:renewed", facts)
        if place == LOCATION:
            # Of a batch that expired or was reverted: noise, that nobody reads again.
            put_in_place(connection, place, [(one, None) for one in keyless])
        else:
            # A key may have gone a moment ago, with what lay under it: stored, expired or reverted.
            unreadable += len(still_in_place(connection, place, keyless))
    return Renewed(seals=seals, unreadable=unreadable)


def _again(custody: Custody, one: PlacedSeal, key: DataKey) -> bytes:
    context = _context(custody, one)
    return seal(key, open_seal(key, one.sealed, context), context, custody.suite)


def _context(custody: Custody, one: PlacedSeal) -> Context:
    installation = custody.installation_id
    contexts = {
        DOCUMENT: lambda: document_context(installation, one.owner, one.id),
        INTAKE: lambda: intake_context(installation, one.id, one.number),
        QUARANTINE: lambda: quarantine_context(installation, one.id, one.number),
        LOCATION: lambda: location_context(installation, one.id),
    }
    return contexts[one.place]()
