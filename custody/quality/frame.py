"""The columns a suite looks at, computed from normalised rows; see the order in ``rules``.

A column is a list with one cell per row. ``None`` means *not to be judged here*: there is nothing,
or an earlier check of the same field has already found what is wrong.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final, TypeAlias

from custody import resident_id
from custody.normalise import NormalisedRow, Value
from custody.policy.model import Dataset, Field, FieldType, Scope
from custody.quality.rules import OLDEST, ROW, Check, identity_field

Cell: TypeAlias = str | float | bool | None
Column: TypeAlias = list[Cell]

SEPARATOR: Final = " "
PRESENT: Final = "present"
_SHAPE: Final = frozenset(
    {"resident_id_malformed", "mobile_malformed", "email_malformed", "format_invalid"}
)
_INSIDE: Final = ("resident_id_date", "resident_id_check_digit", "bank_card_check_digit")
_SEEN_ELSEWHERE: Final = _SHAPE | set(_INSIDE)


def columns_of(
    dataset: Dataset,
    scope: Scope,
    rows: Sequence[NormalisedRow],
    checks: Sequence[Check],
    today: date,
) -> dict[str, Column]:
    """Return the columns that ``checks`` ask for."""
    wanted = {name for check in checks for name in check.columns}
    sheet = _Sheet(rows, today)
    made: dict[str, Column] = {ROW: [_joined(row.row_problems) for row in rows]}
    for field in dataset.fields:
        if field.name in scope.fields:
            made.update(_field_columns(field, sheet))
    made.update(_identity_columns(dataset, sheet))
    made.update(_sound_columns(dataset, sheet))
    made.update(_key_columns(dataset, sheet))
    return {name: made[name] for name in sorted(wanted)}


class _Sheet:
    """The rows by column. Few have problems, so what those change is changed in place."""

    def __init__(self, rows: Sequence[NormalisedRow], today: date) -> None:
        self.today = today
        self._values = [row.values for row in rows]
        self._problems = [(place, row.problems) for place, row in enumerate(rows) if row.problems]
        self._unread = [place for place, row in enumerate(rows) if row.row_problems]
        self._births: dict[str, list[date | None]] = {}

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._values)

    def values(self, name: str) -> list[Value]:
        """Return the field's values."""
        return [values.get(name) for values in self._values]

    def problems(self, name: str) -> list[tuple[int, tuple[str, ...]]]:
        """Return the places of the rows in which something is wrong with the field, and what."""
        return [(place, found[name]) for place, found in self._problems if name in found]

    def presence(self, name: str) -> Column:
        """Return where the field is given.

        A row that is not read at all is not reproached with what it might have held.
        """
        column: Column = [PRESENT if name in values else None for values in self._values]
        for place in (*self._unread, *(place for place, _ in self.problems(name))):
            column[place] = PRESENT
        return column

    def sound(self, name: str) -> list[Value]:
        """Return the field's values without those that something is wrong with."""
        values = self.values(name)
        for place, _ in self.problems(name):
            values[place] = None
        return values

    def births(self, name: str) -> list[date | None]:
        """Return the day of birth that each resident ID of the right shape states."""
        if name not in self._births:
            values = self.values(name)
            for place, found in self.problems(name):
                if found[0] in _SHAPE or found[0] not in _SEEN_ELSEWHERE:
                    values[place] = None
            self._births[name] = [
                resident_id.birth_on(one) if isinstance(one, str) else None for one in values
            ]
        return self._births[name]


def codes_in(cell: Cell) -> frozenset[str]:
    """Return the codes that a cell of a ``readable`` column holds."""
    return frozenset(str(cell).split(SEPARATOR))


def _field_columns(field: Field, sheet: _Sheet) -> Iterator[tuple[str, Column]]:
    name = field.name
    values, problems = sheet.values(name), sheet.problems(name)
    unread: Column = [None] * sheet.count
    for place, some in problems:
        unread[place] = _joined([one for one in some if one not in _SEEN_ELSEWHERE])
        if unread[place]:
            values[place] = None
    yield name, sheet.presence(name)
    yield f"{name}#unread", unread
    yield f"{name}#value", _judged(field, values)
    if field.type in {FieldType.DATE, FieldType.INSTANT}:
        yield f"{name}#day", [_day(value) for value in values]
    elif field.detector in {"resident_id", "bank_card"}:
        yield from _inside_columns(field, values, sheet)


def _inside_columns(
    field: Field, values: Sequence[Value], sheet: _Sheet
) -> Iterator[tuple[str, Column]]:
    """Yield whether what is inside an identifier holds, each only where the one before does."""
    found = [None if value is None else "" for value in values]
    if field.detector == "resident_id":
        born = sheet.births(field.name)
        found = [
            code if code is None or (day is not None and day <= sheet.today) else "resident_id_date"
            for code, day in zip(found, born, strict=True)
        ]
    for place, some in sheet.problems(field.name):
        if found[place] is not None:
            found[place] = some[0]
    for place, code in enumerate(_INSIDE):
        before = _SHAPE | set(_INSIDE[:place])
        yield (
            f"{field.name}#{code}",
            [None if one is None or one in before else one != code for one in found],
        )
    if field.detector == "resident_id":
        yield (
            f"{field.name}#area_code_unknown",
            [
                resident_id.region_known(str(value)) if one == "" else None
                for value, one in zip(values, found, strict=True)
            ],
        )


def _identity_columns(dataset: Dataset, sheet: _Sheet) -> Iterator[tuple[str, Column]]:
    """Yield what the subject's resident ID says of birth and sex, where the ID is sound."""
    field = identity_field(dataset)
    if field is None:
        return
    births = [None if day is None or day > sheet.today else day for day in sheet.births(field.name)]
    for place, _ in sheet.problems(field.name):
        births[place] = None
    yield f"{field.name}#birth", [None if day is None else day.isoformat() for day in births]
    yield (
        f"{field.name}#sex",
        [
            None if day is None else resident_id.sex(str(number))
            for day, number in zip(births, sheet.values(field.name), strict=True)
        ],
    )


def _sound_columns(dataset: Dataset, sheet: _Sheet) -> Iterator[tuple[str, Column]]:
    """Yield birth date and sex as the row states them, where they are sound in themselves."""
    if dataset.birth_field is not None:
        birth = dataset.field(dataset.birth_field)
        oldest = birth.earliest or OLDEST
        yield (
            f"{birth.name}#sound",
            [
                str(day) if isinstance(day, date) and oldest <= day <= sheet.today else None
                for day in sheet.values(birth.name)
            ],
        )
    if dataset.sex_field is not None:
        sex = dataset.field(dataset.sex_field)
        known = {"M", "F"} & set(sex.values)
        values = sheet.values(sex.name)
        yield f"{sex.name}#sound", [str(one) if one in known else None for one in values]


def _key_columns(dataset: Dataset, sheet: _Sheet) -> Iterator[tuple[str, Column]]:
    for name in dataset.record_key:
        values = sheet.sound(name)
        yield f"{name}#key", [None if value is None else str(value) for value in values]


def _judged(field: Field, values: Sequence[Value]) -> Column:
    if field.type in {FieldType.DATE, FieldType.INSTANT}:
        return [None] * len(values)
    return [
        value
        if value is None or isinstance(value, str)
        else float(value)
        if not isinstance(value, date)
        else str(value)
        for value in values
    ]


def _day(value: Value) -> float | None:
    if isinstance(value, datetime):
        return float(value.date().toordinal())
    return float(value.toordinal()) if isinstance(value, date) else None


def _joined(problems: Sequence[str]) -> str | None:
    return SEPARATOR.join(problems) or None
