"""The references beside identity tags: opened, checked against their tags, sealed anew."""

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.renewed import Renewed
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import identities
from custody.database.engine import transaction
from custody.database.identities import SealedReference
from custody.database.sealed import REFERENCE
from custody.keys.opening import those_that_open
from custody.keys.tags import IdentityTags
from custody.randomness import Pool
from custody.reference import open_reference, place_of, read_reference_name, seal_reference
from custody.seal import DataKey, KeyMissingError, SealInvalidError
from custody.steps import reached

PAGE: Final = 2000
_PASSES: Final = 20
_PAUSE_SECONDS: Final = 0.1


class Opener:
    """Opens references whose keys it has asked for together."""

    def __init__(self, custody: Custody, references: Iterable[SealedReference]) -> None:
        """Ask for the keys."""
        self._installation = custody.installation_id
        ids = {one.key_id for one in references}
        self._keys = those_that_open(custody.keyring.open_keys, ids)

    def key_of(self, one: SealedReference) -> DataKey:
        """Return the key of a reference.

        Raises:
            KeyMissingError: It is gone; whose the reference is is named.
        """
        key = self._keys.get(one.key_id)
        if key is None:
            raise KeyMissingError(f"{_place(one)}: its key is gone or damaged")
        return key

    def open(self, one: SealedReference) -> str:
        """Return a reference.

        Raises:
            SealInvalidError: It does not open; whose it is is named.
            KeyMissingError: Of these: its key is gone.
        """
        key = self.key_of(one)
        return open_reference(key, self._installation, one.customer_id, one.reference, one.sealed)


def suppression_tags(
    custody: Custody, references: Iterable[SealedReference]
) -> tuple[list[bytes], int]:
    """Return the tags by which the return of erased people is noticed.

    An erasure does not wait for a reference that does not open: it is counted.

    Returns:
        The tags, and how many references do not open.
    """
    references = list(references)
    opener, tags = Opener(custody, references), custody.keyring.tags
    made, unreadable = list[bytes](), 0
    for one in references:
        try:
            value = opener.open(one)
        except SealInvalidError:
            unreadable += 1
        else:
            made.append(tags.suppression(*read_reference_name(one.reference), value))
    return made, unreadable


def require_its_own(one: SealedReference, value: str, tags: IdentityTags | None) -> None:
    """Require that a tag is that of the reference beside it.

    Raises:
        SealInvalidError: It is another's, or the key of its epoch is destroyed.
    """
    if tags is None:
        raise SealInvalidError(f"{_place(one)}: the key of its tag is destroyed")
    made = tags.references(*read_reference_name(one.reference))(value)
    if not hmac.compare_digest(made, one.tag):
        raise SealInvalidError(f"{_place(one)}: its tag is another's")


def check_references(custody: Custody) -> int:
    """Open every reference there is now, hold it against its tag, and return how many there are.

    What does not fit is looked at again: it may have been erased or renewed since it was read.

    Raises:
        SealInvalidError: One does not open, or its tag is another's; whose it is is named.
    """
    count = 0
    with transaction(custody.data) as reading:
        for page in identities.every_reference(reading):
            opener, known = Opener(custody, page), _known(custody)
            for one in page:
                try:
                    require_its_own(one, opener.open(one), known.get(one.epoch))
                except SealInvalidError:
                    _look_again(custody, one)
            count += len(page)
    return count


def _look_again(custody: Custody, one: SealedReference) -> None:
    with transaction(custody.data) as connection:
        still = identities.is_still(connection, one)
    if still:
        value = Opener(custody, [one]).open(one)
        require_its_own(one, value, _known(custody).get(one.epoch))


def _known(custody: Custody) -> Mapping[int, IdentityTags]:
    with transaction(custody.data) as connection:
        epochs = custody.keyring.tags.epochs(identities.read_epoch(connection).epoch)
    return {one.epoch: one for one in (epochs.now, epochs.before) if one is not None}


def rekey_references(custody: Custody, actor: Actor) -> Iterator[Renewed]:
    """Seal again, page by page, what is not under the policy's suite; yield what came of it.

    What does not open stays as it is.

    Raises:
        ChangedMeanwhileError: Others kept some locked all the while.
    """
    for _ in passes():
        resealing = _Resealing(custody, actor)
        for seals in one_pass(custody, resealing.page):
            yield Renewed(seals=seals, unreadable=0)
        with transaction(custody.data) as connection:
            left = identities.count_to_seal(connection, custody.suite)
        if left <= resealing.unreadable:
            yield Renewed(seals=0, unreadable=left)
            return


@dataclass(slots=True)
class _Resealing:
    """One pass over the references that are not under the policy's suite."""

    custody: Custody
    actor: Actor
    unreadable: int = 0

    def page(self, connection: Connection, after: bytes) -> tuple[bytes, int] | None:
        """Seal the next page again; return its last tag, and how many it had that open."""
        suite = self.custody.suite
        found = identities.references_to_seal(connection, after, PAGE, suite)
        if not found:
            return None
        changes = self._sealed_again(found)
        if changes:
            identities.put_sealed(connection, changes)
            facts = {"suite": suite.name, "place": REFERENCE, "seals": len(changes)}
            record(connection, self.custody, self.actor, "place:seals:renewed", facts)
        return found[-1].tag, len(changes)

    def _sealed_again(self, references: Sequence[SealedReference]) -> list[tuple[bytes, bytes]]:
        custody, opener, randomness = self.custody, Opener(self.custody, references), Pool()
        changes = list[tuple[bytes, bytes]]()
        for one in references:
            try:
                value = opener.open(one)
            except SealInvalidError:
                self.unreadable += 1
                continue
            sealed = seal_reference(
                opener.key_of(one),
                custody.installation_id,
                one.customer_id,
                one.reference,
                value,
                custody.suite,
                randomness,
            )
            changes.append((one.tag, sealed))
        return changes


def one_pass(
    custody: Custody, page: Callable[[Connection, bytes], tuple[bytes, int] | None]
) -> Iterator[int]:
    """Go over tags page by page, and yield how many each page had.

    Args:
        custody: The installation.
        page: Does the next page behind a tag in a transaction; returns its last tag and how many
            it had, None where there is none.
    """
    after = b""
    while True:
        with transaction(custody.data) as connection:
            done = page(connection, after)
        if done is None:
            return
        reached("references:page-done")
        after, count = done
        yield count


def passes() -> Iterator[int]:
    """Yield the number of each pass over tags, of which one leaves what others have locked.

    Raises:
        ChangedMeanwhileError: There were so many that something must be locked all the while.
    """
    for number in range(_PASSES):
        time.sleep(number * _PAUSE_SECONDS)
        yield number
    raise ChangedMeanwhileError


def _place(one: SealedReference) -> str:
    return place_of(one.customer_id, one.reference)
