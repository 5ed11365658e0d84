"""How much protection a value needs: what the catalogue declares, and what the value shows.

The higher of the two wins. A value that shows more than its field declares is a disagreement and is
recorded as ``level_raised``: either the catalogue is wrong, or somebody wrote an ID number into a
remark. Whoever is under 14 makes every field sensitive (PIPL art. 28).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from custody import resident_id
from custody.detect import BANK_CARD, EMAIL, MOBILE, RESIDENT_ID, kinds_in
from custody.normalise import Value
from custody.policy.model import Dataset, Field, FieldType, Level

PROTECTED_AGE: Final = 14
_LEVEL_OF_KIND: Final[Mapping[str, Level]] = {
    # A specific identity and a financial account are sensitive by PIPL art. 28; a mobile number
    # or an e-mail address is not.
    RESIDENT_ID: Level.SENSITIVE,
    BANK_CARD: Level.SENSITIVE,
}
_SETTLED: Final = frozenset({RESIDENT_ID, BANK_CARD, MOBILE, EMAIL})
"""Detectors of fields whose values can be nothing else, so that nothing need be looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """The level of one value.

    Attributes:
        level: The level to seal it under.
        declared: What the catalogue says.
        detected: The highest level that was found in the value, None where nothing was.
        kinds: What was found, by the names of :mod:`custody.detect`.
    """

    level: Level
    declared: Level
    detected: Level | None = None
    kinds: frozenset[str] = frozenset()

    @property
    def raised(self) -> bool:
        """Return whether the value shows more than its field declares (``level_raised``)."""
        return self.detected is not None and self.detected.rank > self.declared.rank


@dataclass(frozen=True, kw_only=True, slots=True)
class RowClassification:
    """The levels of a row's values by field name.

    Attributes:
        raised: The fields whose value shows more than is declared.
        protected: Whether the subject is under 14.
    """

    levels: Mapping[str, Level]
    raised: frozenset[str]
    protected: bool


def classify(field: Field, value: Value, *, protected: bool = False) -> Classification:
    """Return the level of ``value`` in ``field``; ``protected`` says the subject is under 14."""
    kinds = kinds_in(value) if _is_searched(field) and isinstance(value, str) else frozenset()
    detected = max(
        (_LEVEL_OF_KIND.get(kind, Level.GENERAL) for kind in kinds),
        key=lambda level: level.rank,
        default=None,
    )
    floor = Level.SENSITIVE if protected else Level.GENERAL
    level = max(field.level, detected or Level.GENERAL, floor, key=lambda one: one.rank)
    return Classification(level=level, declared=field.level, detected=detected, kinds=kinds)


def classify_row(
    dataset: Dataset, values: Mapping[str, Value], *, on: date, protected: bool | None = None
) -> RowClassification:
    """Return the levels of a row's values on the day ``on``.

    Args:
        dataset: The dataset of the row.
        values: Normalised values by field name.
        on: The day that decides whether the subject is under 14.
        protected: Whether the subject is under 14, where the caller knows it from elsewhere; None
            asks the row itself.
    """
    young = is_protected(dataset, values, on=on) if protected is None else protected
    found = {
        name: classify(dataset.field(name), value, protected=young)
        for name, value in values.items()
        if value is not None
    }
    return RowClassification(
        levels={name: one.level for name, one in found.items()},
        raised=frozenset(name for name, one in found.items() if one.raised),
        protected=young,
    )


def is_protected(dataset: Dataset, values: Mapping[str, Value], *, on: date) -> bool:
    """Return whether the row shows its subject to be under 14, False where it does not say."""
    born = birth_of(dataset, values)
    return born is not None and under_age(born, on)


def birth_of(dataset: Dataset, values: Mapping[str, Value]) -> date | None:
    """Return the subject's date of birth: the birth field, else what the resident ID states."""
    declared = values.get(dataset.birth_field) if dataset.birth_field else None
    if isinstance(declared, date):
        return declared
    for reference in dataset.references:
        number = values.get(reference.field)
        if dataset.field(reference.field).detector == RESIDENT_ID and isinstance(number, str):
            return None if resident_id.problem_of(number) else resident_id.birth_on(number)
    return None


def under_age(born: date, on: date, age: int = PROTECTED_AGE) -> bool:
    """Return whether somebody ``born`` that day has not reached ``age`` on the day ``on``.

    A birthday is reached on its day; one of 29 February on 1 March of a common year.
    """
    return (on.year - born.year, on.month, on.day) < (age, born.month, born.day)


def _is_searched(field: Field) -> bool:
    return field.type is FieldType.TEXT and field.detector not in _SETTLED
