"""Coverage: under which suite and generation every seal is, counted and never estimated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import sealed
from custody.database.engine import transaction
from custody.database.sealed_places import DOCUMENT, PLACES, place_counts, stray_in
from custody.identifiers import BATCH, CONSENT, RECORD, show_id
from custody.suites import SUITES

UNSEALED: Final = "none"
MOST_LISTED: Final = 1000
OTHER: Final = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageLine:
    """How many seals of one kind there are.

    Attributes:
        suite: The suite's name; ``none`` for what is not sealed under its record's key.
        generation: The generation of the key-encryption key; 0 where there is no key.
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
        reference: The record, consent or batch, as it is shown outside.
        number: The chunk or row of a batch.
    """

    dataset: str
    place: str
    reference: str
    number: int
    suite: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How everything is sealed.

    Attributes:
        wanted: How many seals are as the policy wants them, of ``seals``.
        stray: Those that are not, at most a thousand of them.
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


def coverage(custody: Custody) -> Coverage:
    """Count every seal by dataset, compartment, suite and generation of its key."""
    counts: Counter[tuple[str, str, int, int]] = Counter()
    with transaction(custody.data) as connection:
        for page in sealed.seal_counts(connection):
            generations = custody.keyring.generations_of({one.key_id for one in page})
            for one in page:
                generation = generations.get(one.key_id, 0)
                counts[one.dataset, one.level, one.suite, generation] += one.seals
        for place in PLACES:
            for suite, seals in place_counts(connection, place).items():
                counts[OTHER, place, suite, 1] += seals
        stray = _listed(custody, connection)
    lines = [
        CoverageLine(
            dataset=dataset,
            level=level,
            suite=_name(suite),
            generation=generation,
            seals=seals,
            wanted=suite == custody.suite.number and generation > 0,
        )
        for (dataset, level, suite, generation), seals in sorted(counts.items())
    ]
    return Coverage(
        suite=custody.suite.name,
        seals=sum(line.seals for line in lines),
        wanted=sum(line.seals for line in lines if line.wanted),
        lines=lines,
        stray=stray,
    )


def _listed(custody: Custody, connection: Connection) -> list[Stray]:
    """Return what is amiss by name, as far as the list goes."""
    found = [
        Stray(
            dataset=one.dataset,
            place=one.level,
            reference=show_id(RECORD, one.record_id),
            number=0,
            suite=_name(one.suite),
        )
        for one in sealed.stray_seals(connection, custody.suite, MOST_LISTED)
    ]
    for place in PLACES:
        found += [
            Stray(
                dataset=OTHER,
                place=place,
                reference=show_id(CONSENT if place == DOCUMENT else BATCH, one.id),
                number=one.number,
                suite=_name(one.suite),
            )
            for one in stray_in(connection, place, custody.suite, MOST_LISTED - len(found))
        ]
    return found


def _name(suite: int) -> str:
    return SUITES[suite].name if suite in SUITES else UNSEALED
