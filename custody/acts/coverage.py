"""Coverage: under which suite and generation every seal is, counted and never estimated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.place_keys import owners_with_key
from custody.database import sealed
from custody.database.engine import transaction
from custody.database.sealed import NO_DATASET, REFERENCE, SealCount
from custody.database.sealed_places import (
    DOCUMENT,
    PLACES,
    PlaceCount,
    place_counts,
    stray_in,
)
from custody.identifiers import BATCH, CONSENT, CUSTOMER, RECORD, show_id
from custody.suites import SUITES

if TYPE_CHECKING:
    from uuid import UUID

UNSEALED: Final = "none"
MOST_LISTED: Final = 1000
OTHER: Final = NO_DATASET
ONLY_GENERATION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageLine:
    """How many seals of one kind there are.

    Attributes:
        suite: The suite's name; ``none`` for what is not sealed under its record's key.
        generation: The generation of the bucket's key-encryption key, 1 where keys have but one
            (consents, days of batches); 0 where there is no key.
        wanted: Whether the policy wants it so.
    """

    dataset: str
    level: str
    suite: str
    generation: int
    seals: int
    wanted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """A seal that is not as the policy wants it, named.

    Attributes:
        dataset: The record's dataset; ``-`` for what is no record's.
        place: The compartment, or the other place.
        reference: The record, consent, batch or customer, as it is shown outside.
        number: The chunk or row of a batch.
        has_key: Whether the key it lies under is there; without one it never opens again.
    """

    dataset: str
    place: str
    reference: str
    number: int
    suite: str
    has_key: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How everything is sealed.

    Attributes:
        wanted: How many seals are as the policy wants them, of ``seals``.
        stray: Those that are not, as many as were to be listed.
    """

    suite: str
    seals: int
    wanted: int
    lines: Sequence[CoverageLine]
    stray: Sequence[Stray]

    @property
    def is_whole(self) -> bool:
        """Whether every seal is as the policy wants it."""
        return self.seals == self.wanted


def coverage(custody: Custody, listed: int = MOST_LISTED) -> Coverage:
    """Count every seal by dataset, compartment, suite and generation of its key.

    The keys lie in another database, so a seal that moved to a fresh key between the two looks
    like one whose key is gone. Those are looked at again: what still lies there without a key is
    counted as amiss and listed.

    Args:
        custody: The installation.
        listed: How many seals that are amiss are named at most; all are counted.
    """
    tally = _Tally(custody)
    with transaction(custody.data) as connection:
        for counts in (sealed.seal_counts, sealed.reference_counts):
            for page in counts(connection, None):
                tally.add_keyed(page)
        for place in PLACES:
            for owners in place_counts(connection, place):
                tally.add_place(place, owners)
    with transaction(custody.data) as connection:
        tally.look_again(connection)
        stray = _listed(custody, connection, tally, listed)
    lines = [
        CoverageLine(
            dataset=dataset,
            level=level,
            suite=_name(suite),
            generation=generation,
            seals=seals,
            wanted=suite == custody.suite.number and generation > 0,
        )
        for (dataset, level, suite, generation), seals in sorted(tally.counts.items())
    ]
    return Coverage(
        suite=custody.suite.name,
        seals=sum(line.seals for line in lines),
        wanted=sum(line.seals for line in lines if line.wanted),
        lines=lines,
        stray=stray,
    )


class _Tally:
    """Counts by dataset, level, suite and generation, and what seemed to have no key."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self.counts: Counter[tuple[str, str, int, int]] = Counter()
        self.keyless: set[UUID] = set()
        self.keyless_owners: dict[str, set[UUID]] = {place: set() for place in PLACES}

    def add_keyed(self, page: Sequence[SealCount]) -> None:
        """Count seals of records and references, apart from those whose key is not there."""
        generations = self._custody.keyring.generations_of({one.key_id for one in page})
        for one in page:
            if one.key_id in generations:
                self._add(one.dataset, one.level, one.suite, generations[one.key_id], one.seals)
            else:
                self.keyless.add(one.key_id)

    def add_place(self, place: str, page: Sequence[PlaceCount]) -> None:
        """Count seals of another place, apart from those whose owner has no key."""
        known = owners_with_key(self._custody, place, {one.owner for one in page})
        for one in page:
            if one.owner in known:
                self._add(OTHER, place, one.suite, ONLY_GENERATION, one.seals)
            else:
                self.keyless_owners[place].add(one.owner)

    def look_again(self, connection: Connection) -> None:
        """Count what still lies where there was no key."""
        for counts in (sealed.seal_counts, sealed.reference_counts) if self.keyless else ():
            for page in counts(connection, list(self.keyless)):
                for one in page:
                    self._add(one.dataset, one.level, one.suite, 0, one.seals)
        for place, owners in self.keyless_owners.items():
            for places in place_counts(connection, place, owners) if owners else ():
                for found in places:
                    self._add(OTHER, place, found.suite, 0, found.seals)

    def _add(self, dataset: str, level: str, suite: int, generation: int, seals: int) -> None:
        self.counts[dataset, level, suite, generation] += seals


def _listed(custody: Custody, connection: Connection, tally: _Tally, most: int) -> list[Stray]:
    """Return what is amiss by name, as far as the list goes."""
    suite, keyless = custody.suite, list(tally.keyless)
    found = [
        Stray(
            dataset=one.dataset,
            place=one.level,
            reference=show_id(RECORD, one.record_id),
            number=0,
            suite=_name(one.suite),
            has_key=one.has_key,
        )
        for one in sealed.stray_seals(connection, suite, keyless, most)
    ]
    for place, owners in tally.keyless_owners.items():
        left = most - len(found)
        found += [
            Stray(
                dataset=OTHER,
                place=place,
                reference=show_id(CONSENT if place == DOCUMENT else BATCH, one.id),
                number=one.number,
                suite=_name(one.suite),
                has_key=one.has_key,
            )
            for one in stray_in(connection, place, suite, left, keyless=owners)
        ]
    return found + [
        Stray(
            dataset=OTHER,
            place=REFERENCE,
            reference=show_id(CUSTOMER, one.customer_id),
            number=0,
            suite=_name(one.suite),
            has_key=one.has_key,
        )
        for one in sealed.stray_references(connection, suite, keyless, most - len(found))
    ]


def _name(suite: int) -> str:
    return SUITES[suite].name if suite in SUITES else UNSEALED
