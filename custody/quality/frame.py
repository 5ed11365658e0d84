"""The columns a suite looks at, computed from normalised rows; see the order in ``rules``.

A column is a list with one cell per row. ``None`` means *not to be judged here*: there is nothing,
or an earlier check of the same field has already found what is wrong. All cells of a column that
hold something hold a text, or all hold a number, a mark (true) or a day's number.

Each column is yielded as what makes it, because few checks ask for all the columns of a field.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

from custody import resident_id
from custody.normalise import NormalisedRow, Value
from custody.policy.model import Dataset, Field, FieldType, Scope
from custody.quality.rules import OLDEST, ROW, Check, identity_field

Cell: TypeAlias = str | float | bool | None
Column: TypeAlias = list[Cell]
Named: TypeAlias = tuple[str, Callable[[], Column]]

SEPARATOR: Final = " "
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
    made = dict(_columns(dataset, scope, sheet))
    return {name: made[name]() for name in sorted(wanted)}


def _columns(dataset: Dataset, scope: Scope, sheet: "_Sheet") -> Iterator[Named]:
    yield ROW, sheet.row_problems
    for field in dataset.fields:
        if field.name in scope.fields:
            yield from _field_columns(field, sheet)
    yield from _identity_columns(dataset, sheet)
    yield from _sound_columns(dataset, sheet)
    for name in dataset.record_key:
        yield f"{name}#key", partial(_key, sheet, name)


class _Sheet:
    """The rows by column. Few have problems, so what those change is changed in place."""

    def __init__(self, rows: Sequence[NormalisedRow], today: date) -> None:
        self.today = today
        self._values = [row.values for row in rows]
        self._problems = [(place, row.problems) for place, row in enumerate(rows) if row.problems]
        self._unread = [
            (place, row.row_problems) for place, row in enumerate(rows) if row.row_problems
        ]
        self._columns: dict[str, list[Value]] = {}
        self._births: dict[str, list[date | None]] = {}

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._values)

    def values(self, name: str) -> list[Value]:
        """Return the field's values; they are not to be changed."""
        if name not in self._columns:
            self._columns[name] = [values.get(name) for values in self._values]
        return self._columns[name]

    def problems(self, name: str) -> list[tuple[int, tuple[str, ...]]]:
        """Return the places of the rows in which something is wrong with the field, and what."""
        return [(place, found[name]) for place, found in self._problems if name in found]

    def presence(self, name: str) -> Column:
        """Return where the field is given.

        A row that is not read at all is not reproached with what it might have held.
        """
        column: Column = [None if value is None else True for value in self.values(name)]
        for place, _ in (*self._unread, *self.problems(name)):
            column[place] = True
        return column

    def row_problems(self) -> Column:
        """Return the codes of what kept whole rows from being read."""
        column: Column = [None] * self.count
        for place, some in self._unread:
            column[place] = _joined(some)
        return column

    def unread(self, name: str) -> Column:
        """Return the codes of what kept the field from being read."""
        column: Column = [None] * self.count
        for place, some in self.problems(name):
            column[place] = _joined([one for one in some if one not in _SEEN_ELSEWHERE])
        return column

    def read(self, name: str) -> list[Value]:
        """Return the field's values without those that could not be read."""
        values = self.values(name)
        if problems := self.problems(name):
            values = values.copy()
            for place, some in problems:
                if any(one not in _SEEN_ELSEWHERE for one in some):
                    values[place] = None
        return values

    def sound(self, name: str) -> list[Value]:
        """Return the field's values without those that something is wrong with."""
        values = self.values(name)
        if problems := self.problems(name):
            values = values.copy()
            for place, _ in problems:
                values[place] = None
        return values

    def births(self, name: str) -> list[date | None]:
        """Return the day of birth that each resident ID of the right shape states."""
        if name not in self._births:
            values = self.values(name).copy()
            for place, found in self.problems(name):
                if found[0] in _SHAPE or found[0] not in _SEEN_ELSEWHERE:
                    values[place] = None
            self._births[name] = [
                resident_id.birth_on(one) if isinstance(one, str) else None for one in values
            ]
        return self._births[name]

    def sound_births(self, name: str) -> list[date | None]:
        """Return the day of birth that each sound resident ID states, if it is past."""
        births = [None if day is None or day > self.today else day for day in self.births(name)]
        for place, _ in self.problems(name):
            births[place] = None
        return births


def codes_in(cell: Cell) -> frozenset[str]:
    """Return the codes that a cell of a ``readable`` column holds."""
    return frozenset(str(cell).split(SEPARATOR))


def _field_columns(field: Field, sheet: _Sheet) -> Iterator[Named]:
    name = field.name
    yield name, partial(sheet.presence, name)
    yield f"{name}#unread", partial(sheet.unread, name)
    yield f"{name}#sound_value", partial(_sound_value, sheet, name)
    if field.type in {FieldType.DATE, FieldType.INSTANT}:
        yield f"{name}#day", lambda: _days(sheet.read(name))
        return
    yield f"{name}#value", partial(_judged, sheet, field)
    if field.detector in {"resident_id", "bank_card"}:
        yield from _inside_columns(field, sheet)


def _sound_value(sheet: _Sheet, name: str) -> Column:
    """Return a text as it is, a number as one, a day as its number; nothing that is wrong."""
    return [
        value
        if value is None or isinstance(value, str)
        else value.toordinal()
        if isinstance(value, date)
        else float(value)
        for value in sheet.sound(name)
    ]


def _inside_columns(field: Field, sheet: _Sheet) -> Iterator[Named]:
    """Yield whether what is inside an identifier holds, each only where the one before does."""
    found = _found_inside(field, sheet)
    for place, code in enumerate(_INSIDE):
        before = _SHAPE | set(_INSIDE[:place])
        yield f"{field.name}#{code}", partial(_holds, found, code, before)
    if field.detector == "resident_id":
        yield f"{field.name}#area_code_unknown", partial(_regions, field, sheet, found)


def _found_inside(field: Field, sheet: _Sheet) -> list[str | None]:
    """Return the code against each identifier, empty if there is none, None where none is."""
    found = [None if value is None else "" for value in sheet.read(field.name)]
    if field.detector == "resident_id":
        born, today = sheet.births(field.name), sheet.today
        found = [
            code if code is None or (day is not None and day <= today) else "resident_id_date"
            for code, day in zip(found, born, strict=True)
        ]
    for place, some in sheet.problems(field.name):
        if found[place] is not None:
            found[place] = some[0]
    return found


def _holds(found: Sequence[str | None], code: str, before: frozenset[str]) -> Column:
    return [None if one is None or one in before else one != code for one in found]


def _regions(field: Field, sheet: _Sheet, found: Sequence[str | None]) -> Column:
    return [
        resident_id.region_known(str(value)) if one == "" else None
        for value, one in zip(sheet.values(field.name), found, strict=True)
    ]


def _identity_columns(dataset: Dataset, sheet: _Sheet) -> Iterator[Named]:
    """Yield what the subject's resident ID says of birth and sex, where the ID is sound."""
    field = identity_field(dataset)
    if field is None:
        return
    name = field.name
    yield f"{name}#birth", lambda: _days(sheet.sound_births(name))
    yield (
        f"{name}#sex",
        lambda: [
            None if day is None else resident_id.sex(str(number))
            for day, number in zip(sheet.sound_births(name), sheet.values(name), strict=True)
        ],
    )


def _sound_columns(dataset: Dataset, sheet: _Sheet) -> Iterator[Named]:
    """Yield birth date and sex as the row states them, where they are sound in themselves."""
    if dataset.birth_field is not None:
        birth = dataset.field(dataset.birth_field)
        yield f"{birth.name}#sound", partial(_sound_birth, birth, sheet)
    if dataset.sex_field is not None:
        sex = dataset.field(dataset.sex_field)
        known = {"M", "F"} & set(sex.values)
        yield (
            f"{sex.name}#sound",
            lambda: [str(one) if one in known else None for one in sheet.values(sex.name)],
        )


def _sound_birth(birth: Field, sheet: _Sheet) -> Column:
    oldest, today = birth.earliest or OLDEST, sheet.today
    return [
        day.toordinal() if isinstance(day, date) and oldest <= day <= today else None
        for day in sheet.values(birth.name)
    ]


def _key(sheet: _Sheet, name: str) -> Column:
    return [None if value is None else str(value) for value in sheet.sound(name)]


def _judged(sheet: _Sheet, field: Field) -> Column:
    """Return a text or code as it is, a number as one."""
    values = sheet.read(field.name)
    if field.type in {FieldType.TEXT, FieldType.CODE}:
        return [value if isinstance(value, str) else None for value in values]
    return [float(value) if isinstance(value, int | Decimal) else None for value in values]


def _days(values: Sequence[Value]) -> Column:
    """Return each day's number; an instant's is that of its day in UTC."""
    return [value.toordinal() if isinstance(value, date) else None for value in values]


def _joined(problems: Sequence[str]) -> str | None:
    return SEPARATOR.join(problems) or None
