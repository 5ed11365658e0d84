"""The keys of what is no record's: by place, a customer's or a batch's."""

from collections.abc import Collection
from functools import partial
from typing import Final
from uuid import UUID

from custody.acts.context import Custody
from custody.database.sealed_places import DOCUMENT, INTAKE, LOCATION, QUARANTINE
from custody.keys import wrapping
from custody.keys.opening import those_that_open
from custody.seal import DataKey

_KINDS: Final = {
    INTAKE: wrapping.INTAKE,
    QUARANTINE: wrapping.QUARANTINE,
    LOCATION: wrapping.QUARANTINE,
}


def open_keys_of(custody: Custody, place: str, owners: Collection[UUID]) -> dict[UUID, DataKey]:
    """Return the keys of owners of seals in a place; those gone or damaged are missing."""
    if place == DOCUMENT:
        return those_that_open(custody.keyring.consents.open, owners)
    open_those = partial(custody.keyring.batches.open_those, kind=_KINDS[place])
    return those_that_open(open_those, owners)


def owners_with_key(custody: Custody, place: str, owners: Collection[UUID]) -> set[UUID]:
    """Return which owners of seals in a place have a key, without opening it."""
    if place == DOCUMENT:
        return custody.keyring.consents.known(owners)
    return custody.keyring.batches.known(owners, _KINDS[place])
