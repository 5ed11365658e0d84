"""The columns a suite looks at, computed from normalised rows; see the order in ``rules``.

A column is a list with one cell per row. ``None`` means *not to be judged here*: there is nothing,
or an earlier check of the same field has already found what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
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
    made: dict[str, Column] = {ROW: [_joined(row.row_problems) for row in rows]}
    for field in dataset.fields:
        if field.name in scope.fields:
            made.update(_field_columns(field, rows, today))
    made.update(_identity_columns(dataset, rows, today))
    made.update(_sound_columns(dataset, rows, today))
    made.update(_key_columns(dataset, rows))
    return {name: made[name] for name in sorted(wanted)}


def codes_in(cell: Cell) -> frozenset[str]:
    """Return the codes that a cell of a ``readable`` column holds."""
    return frozenset(str(cell).split(SEPARATOR))


def _field_columns(
    field: Field, rows: Sequence[NormalisedRow], today: date
) -> Iterator[tuple[str, Column]]:
    name = field.name
    problems = [row.problems.get(name, ()) for row in rows]
    unread = [_joined([one for one in some if one not in _SEEN_ELSEWHERE]) for some in problems]
    values = [
        None if hidden else row.values.get(name) for row, hidden in zip(rows, unread, strict=True)
    ]
    yield name, [_presence(row, name) for row in rows]
    yield f"{name}#unread", [*unread]
    yield f"{name}#value", [_judged(field, value) for value in values]
    if field.type in {FieldType.DATE, FieldType.INSTANT}:
        yield f"{name}#day", [_day(value) for value in values]
    elif field.detector in {"resident_id", "bank_card"}:
        yield from _inside_columns(field, values, problems, today)


def _inside_columns(
    field: Field,
    values: Sequence[Value],
    problems: Sequence[Sequence[str]],
    today: date,
) -> Iterator[tuple[str, Column]]:
    """Yield whether what is inside an identifier holds, each only where the one before does."""
    found = [
        None if value is None else _first_problem(field, str(value), some, today)
        for value, some in zip(values, problems, strict=True)
    ]
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


def _first_problem(field: Field, value: str, problems: Sequence[str], today: date) -> str:
    """Return the first thing wrong with an identifier, ``""`` if nothing is."""
    if problems:
        return problems[0]
    if field.detector == "resident_id":
        born = resident_id.birth_on(value)
        return "resident_id_date" if born is None or born > today else ""
    return ""


def _identity_columns(
    dataset: Dataset, rows: Sequence[NormalisedRow], today: date
) -> Iterator[tuple[str, Column]]:
    """Yield what the subject's resident ID says of birth and sex, where the ID is sound."""
    field = identity_field(dataset)
    if field is None:
        return
    numbers = [_sound_number(row, field.name, today) for row in rows]
    yield f"{field.name}#birth", _each(numbers, lambda one: str(resident_id.birth_on(one)))
    yield f"{field.name}#sex", _each(numbers, resident_id.sex)


def _sound_number(row: NormalisedRow, name: str, today: date) -> str | None:
    number = row.values.get(name)
    if not isinstance(number, str) or name in row.problems:
        return None
    born = resident_id.birth_on(number)
    return None if born is None or born > today else number


def _each(cells: Sequence[str | None], function: Callable[[str], str]) -> Column:
    return [None if cell is None else function(cell) for cell in cells]


def _sound_columns(
    dataset: Dataset, rows: Sequence[NormalisedRow], today: date
) -> Iterator[tuple[str, Column]]:
    """Yield birth date and sex as the row states them, where they are sound in themselves."""
    if dataset.birth_field is not None:
        birth = dataset.field(dataset.birth_field)
        yield f"{birth.name}#sound", [_plausible(birth, row, today) for row in rows]
    if dataset.sex_field is not None:
        sex = dataset.field(dataset.sex_field)
        known = {"M", "F"} & set(sex.values)
        values = [row.values.get(sex.name) for row in rows]
        yield f"{sex.name}#sound", [str(one) if one in known else None for one in values]


def _plausible(field: Field, row: NormalisedRow, today: date) -> str | None:
    value = row.values.get(field.name)
    if not isinstance(value, date) or value > today:
        return None
    return None if value < (field.earliest or OLDEST) else str(value)


def _key_columns(dataset: Dataset, rows: Sequence[NormalisedRow]) -> Iterator[tuple[str, Column]]:
    for name in dataset.record_key:
        yield (
            f"{name}#key",
            [
                None
                if name in row.problems or row.values.get(name) is None
                else str(row.values[name])
                for row in rows
            ],
        )


def _presence(row: NormalisedRow, name: str) -> str | None:
    # A row that is not read at all is not reproached with what it might have held.
    given = row.row_problems or name in row.problems or row.values.get(name) is not None
    return PRESENT if given else None


def _judged(field: Field, value: Value) -> Cell:
    if value is None or field.type in {FieldType.DATE, FieldType.INSTANT}:
        return None
    return float(value) if not isinstance(value, str | date) else str(value)


def _day(value: Value) -> float | None:
    if isinstance(value, datetime):
        return float(value.date().toordinal())
    return float(value.toordinal()) if isinstance(value, date) else None


def _joined(problems: Sequence[str]) -> str | None:
    return SEPARATOR.join(problems) or None
