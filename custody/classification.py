"""How much protection a value needs: what the catalogue declares, and what the value shows.

The higher of the two wins. A value that shows more than its field declares is a disagreement and is
recorded as ``level_raised``: either the catalogue is wrong, or somebody wrote an ID number into a
remark. Whoever is under 14 makes every field sensitive (PIPL art. 28).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec

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
_NO_KINDS: Final[frozenset[str]] = frozenset()


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


class RowClassification(msgspec.Struct, frozen=True, kw_only=True):
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
    kinds = kinds_in(value) if _is_searched(field) and isinstance(value, str) else _NO_KINDS
    return _judged(field, kinds, protected=protected)


class Classifier:
    """Classifies the rows of one dataset."""

    def __init__(self, dataset: Dataset) -> None:
        """Prepare what every row of the dataset needs."""
        self._dataset = dataset
        self._declared = {one.name: one.level for one in dataset.fields}
        self._searched = [one for one in dataset.fields if _is_searched(one)]

    def classify(
        self, values: Mapping[str, Value], *, on: date, protected: bool | None = None
    ) -> RowClassification:
        """Return the levels of a row's values on the day ``on``.

        Args:
            values: Normalised values by field name. Only texts, and those that say when the
                subject was born, are looked at.
            on: The day that decides whether the subject is under 14.
            protected: Whether the subject is under 14, where the caller knows it from elsewhere;
                None asks the row itself.

        Raises:
            UnknownNameError: The dataset has no such field.
        """
        declared = self._declared
        young = is_protected(self._dataset, values, on=on) if protected is None else protected
        for name in values.keys() - declared.keys():
            self._dataset.field(name)
        levels = {name: declared[name] for name, value in values.items() if value is not None}
        raised = []
        for field in self._searched:
            value = values.get(field.name)
            if isinstance(value, str) and (kinds := kinds_in(value)):
                found = _judged(field, kinds, protected=young)
                levels[field.name] = found.level
                raised += [field.name] if found.raised else []
        if young:
            levels = {name: max(one, Level.SENSITIVE, key=_rank) for name, one in levels.items()}
        return RowClassification(levels=levels, raised=frozenset(raised), protected=young)


def _judged(field: Field, kinds: frozenset[str], *, protected: bool) -> Classification:
    shown = (_LEVEL_OF_KIND.get(kind, Level.GENERAL) for kind in kinds)
    detected = max(shown, key=_rank, default=None)
    floor = Level.SENSITIVE if protected else Level.GENERAL
    level = max(field.level, detected or Level.GENERAL, floor, key=_rank)
    return Classification(level=level, declared=field.level, detected=detected, kinds=kinds)


def _rank(level: Level) -> int:
    return level.rank


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
