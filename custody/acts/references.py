"""The references beside identity tags, sealed anew: in a turn, and under another suite.

A turn begins the next generation for what was deleted so far, and seals what survives under it,
page by page; then nothing lies under the keys of earlier generations, and they can be destroyed.
Killed anywhere, every reference opens, and the next turn goes on.
"""

import hmac
import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import identities
from custody.database.engine import transaction
from custody.database.identities import SealedReference
from custody.keys.references import ReferenceKek, read_reference_entry, reference_entry
from custody.randomness import Pool
from custody.seal import SealInvalidError
from custody.steps import reached
from custody.suites import Suite

REFERENCE: Final = "reference"
PAGE: Final = 5000
_PASSES: Final = 20
_PAUSE_SECONDS: Final = 0.1


def references_wait(custody: Custody) -> bool:
    """Whether a turn has anything to do with references."""
    with transaction(custody.data) as connection:
        dirty = identities.is_dirty(connection)
        state = identities.read_state(connection)
    custody.keyring.keystore.reload()
    return dirty or bool(_earlier(custody, state.generation))


def turn_references(custody: Custody, *, everything: bool = False) -> int:
    """Seal under the next generation what survives where references were deleted, or in any case.

    Returns:
        How many were sealed anew, each opened again and compared.

    Raises:
        SealInvalidError: One does not open; its page stays as it is.
        ChangedMeanwhileError: Others kept rows locked all the while.
    """
    with transaction(custody.data) as connection:
        state = identities.read_state(connection)
        wanted = everything or identities.is_dirty(connection)
    if wanted:
        custody.keyring.add_entries([reference_entry(state.generation + 1)])
        reached("turn:reference-key-made")
        with transaction(custody.data) as connection:
            identities.begin_generation(connection, state.generation)
        reached("turn:references-begun")
    return sum(seal_references(custody))


def references_left_behind(custody: Custody) -> set[str]:
    """Return the names of keys of references under which nothing lies any more."""
    with transaction(custody.data) as connection:
        generation = identities.read_state(connection).generation
        if identities.count_to_seal(connection, generation, custody.suite):
            return set()
    return _earlier(custody, generation)


def seal_references(
    custody: Custody, then: Callable[[Connection, int], None] | None = None
) -> Iterator[int]:
    """Seal, page by page, what is of an earlier generation or another suite; yield how many.

    Args:
        custody: The installation.
        then: What else belongs to the transaction of each page.

    Raises:
        SealInvalidError: One does not open; its page stays as it is.
        ChangedMeanwhileError: Others kept rows locked all the while.
    """
    with transaction(custody.data) as connection:
        generation = identities.read_state(connection).generation
    kek = custody.keyring.references.of(generation)
    for attempt in range(_PASSES):
        time.sleep(attempt * _PAUSE_SECONDS)
        yield from _pass_over(custody, kek, then)
        with transaction(custody.data) as connection:
            if not identities.count_to_seal(connection, generation, custody.suite):
                return
    raise ChangedMeanwhileError


def _pass_over(
    custody: Custody, kek: ReferenceKek, then: Callable[[Connection, int], None] | None
) -> Iterator[int]:
    opened, after, randomness = custody.keyring.references.opener(), b"", Pool()
    while True:
        with transaction(custody.data) as connection:
            page = identities.references_to_seal(
                connection, after, PAGE, kek.generation, custody.suite
            )
            if not page:
                return
            changes = [
                (one.tag, _again(one, opened(one), kek, custody.suite, randomness)) for one in page
            ]
            identities.put_sealed(connection, changes, kek.generation)
            if then is not None:
                then(connection, len(page))
        reached("turn:references-sealed")
        yield len(page)
        after = page[-1].tag


def _again(
    one: SealedReference, value: str, kek: ReferenceKek, suite: Suite, randomness: Pool
) -> bytes:
    sealed = kek.seal(one.customer_id, one.reference, value, suite, randomness)
    found = kek.open(one.customer_id, one.reference, sealed)
    if not hmac.compare_digest(found.encode(), value.encode()):
        raise SealInvalidError(f"reference {one.reference} of customer {one.customer_id}")
    return sealed


def _earlier(custody: Custody, generation: int) -> set[str]:
    """Return the keystore's keys of references of generations before this one."""
    names = custody.keyring.keystore.names
    return {
        name
        for name in names
        if (found := read_reference_entry(name)) is not None and found < generation
    }
