"""The checks a catalogue asks for, as values: which column must satisfy what, and under which code.

A defect is reported once. Each check looks at a column of its own that is empty wherever an earlier
check of the same field has already failed, and Great Expectations passes over what is empty:

1. ``present`` - what the purpose requires is there (``required_missing``).
2. ``readable`` - the row has the right number of columns, the value its type. One check for all the
   codes of :mod:`custody.normalise` that mean *could not be read*.
3. ``shape`` - an identifier matches its pattern (malformed).
4. ``holds`` - the date in a resident ID is one (and not in the future), then its check character;
   the check digit of a bank card; whether a region is known (a warning).
5. ``listed``, ``between`` - a code is one of its values, a number or a day lies in its range. A day
   beyond ``today`` is implausible in every field: what is recorded has happened.
6. ``equal`` - birth date and sex agree with the resident ID, where both sides are sound.
7. ``unique`` - no two rows of the chunk have one record key; all of them are named.
8. ``expected`` - what the firm's own suites expect, of values that could be read.

Severity is the field's own, except that what is required must be there and a record key must be
unique whatever the catalogue says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from custody import identifier_forms, resident_id
from custody.gates import GateCheck
from custody.policy.model import (
    ALL_PERMILLE,
    Dataset,
    Field,
    FieldType,
    Scope,
    Severity,
)

Kind = Literal[
    "present", "readable", "shape", "holds", "listed", "between", "equal", "unique", "expected"
]

READABLE: Final = "readable"
UNREADABLE: Final = "value_unreadable"
ROW: Final = "#row"
OLDEST: Final = date(1850, 1, 1)
TODAY: Final = "today"
TOMORROW: Final = "tomorrow"  # instants are in UTC, and the zone's day may be ahead of it

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    "resident_id": (resident_id.PATTERN, "resident_id_malformed"),
    "mobile": (identifier_forms.MOBILE_PATTERN, "mobile_malformed"),
    "phone": (identifier_forms.PHONE_PATTERN, "format_invalid"),
    "email": (identifier_forms.EMAIL_PATTERN, "email_malformed"),
    "bank_card": (identifier_forms.BANK_CARD_PATTERN, "format_invalid"),
    "uscc": (identifier_forms.USCC_PATTERN, "format_invalid"),
    "passport": (identifier_forms.PASSPORT_PATTERN, "format_invalid"),
}
_INSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "resident_id": ("resident_id_date", "resident_id_check_digit"),
    "bank_card": ("bank_card_check_digit",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One expectation.

    Attributes:
        code: The code of a row that fails it; ``readable`` stands for those of its column.
        field: The field it judges, empty for the row as a whole.
        columns: The columns of the frame it looks at.
        lowest: The lowest value allowed: a number, or a day as ISO text.
        highest: The highest value allowed: a number, ``today`` or ``tomorrow``.
        expect: What a suite of the firm's own expects, by its name there.
        parameters: What it takes, as JSON.
        owner: The role that is to act when too many fail.
        tolerated_permille: Of a thousand that are judged, how many may fail before a batch stops.
    """

    name: str = ""
    kind: Kind
    code: str
    field: str
    columns: tuple[str, ...]
    severity: Severity = "blocking"
    pattern: str = ""
    values: tuple[str, ...] = ()
    lowest: str = ""
    highest: str = ""
    expect: str = ""
    parameters: str = ""
    owner: str = ""
    tolerated_permille: int = ALL_PERMILLE

    def to_gate(self) -> GateCheck:
        """Return it as a suite that is kept has it."""
        asked = {
            "columns": list(self.columns),
            "pattern": self.pattern,
            "values": list(self.values),
            "lowest": self.lowest,
            "highest": self.highest,
            "expect": self.expect,
            "parameters": self.parameters,
        }
        return GateCheck(
            name=self.name or f"{self.field or ROW}.{self.code}",
            code=UNREADABLE if self.code == READABLE else self.code,
            kind=self.kind,
            owner=self.owner,
            severity=self.severity,
            tolerated_permille=self.tolerated_permille,
            asked={name: value for name, value in asked.items() if value},
        )


def generated_checks(dataset: Dataset, scope: Scope) -> tuple[Check, ...]:
    """Return the checks that the catalogue asks of what ``scope`` needs; nothing else is judged."""
    fields = [one for one in dataset.fields if one.name in scope.fields]
    return (
        Check(kind="readable", code=READABLE, field="", columns=(ROW,)),
        *_presence(dataset, scope, fields),
        *(check for field in fields for check in _field_checks(field)),
        *_agreement(dataset, scope),
        *_uniqueness(dataset, scope),
    )


def identity_field(dataset: Dataset) -> Field | None:
    """Return the field that holds the subject's own resident ID, None if there is none."""
    named = {reference.field for reference in dataset.references}
    found = (one for one in dataset.fields if one.detector == "resident_id" and one.name in named)
    return next(found, None)


def _presence(dataset: Dataset, scope: Scope, fields: list[Field]) -> Iterator[Check]:
    required = scope.required | set(dataset.record_key)
    for field in fields:
        if field.name in required:
            yield Check(
                kind="present", code="required_missing", field=field.name, columns=(field.name,)
            )


def _field_checks(field: Field) -> Iterator[Check]:
    yield _check(field, "readable", READABLE, "#unread")
    if field.type is FieldType.TEXT:
        yield from _text_checks(field)
    elif field.type is FieldType.CODE:
        yield _check(field, "listed", "value_not_allowed", "#value", values=field.values)
    elif field.type in {FieldType.DATE, FieldType.INSTANT}:
        yield _day_check(field)
    elif field.minimum is not None or field.maximum is not None:
        yield _check(
            field,
            "between",
            "value_out_of_range",
            "#value",
            lowest="" if field.minimum is None else str(field.minimum),
            highest="" if field.maximum is None else str(field.maximum),
        )


def _text_checks(field: Field) -> Iterator[Check]:
    detector = field.detector or ""
    if detector in _PATTERNS:
        pattern, code = _PATTERNS[detector]
        yield _check(field, "shape", code, "#value", pattern=pattern)
    for code in _INSIDE.get(detector, ()):
        yield _check(field, "holds", code, f"#{code}")
    if detector == "resident_id":
        yield Check(
            kind="holds",
            code="area_code_unknown",
            field=field.name,
            columns=(f"{field.name}#area_code_unknown",),
            severity="warning",
        )


def _day_check(field: Field) -> Check:
    return _check(
        field,
        "between",
        "date_implausible",
        "#day",
        lowest=(field.earliest or OLDEST).isoformat(),
        highest=TODAY if field.type is FieldType.DATE else TOMORROW,
    )


def _agreement(dataset: Dataset, scope: Scope) -> Iterator[Check]:
    identity = identity_field(dataset)
    if identity is None or identity.name not in scope.fields:
        return
    for name, side, code in (
        (dataset.birth_field, "#birth", "resident_id_birth_mismatch"),
        (dataset.sex_field, "#sex", "resident_id_sex_mismatch"),
    ):
        if name is not None and name in scope.fields:
            severity = "warning" if identity.severity == "warning" else dataset.field(name).severity
            columns = (f"{identity.name}{side}", f"{name}#sound")
            yield Check(kind="equal", code=code, field=name, columns=columns, severity=severity)


def _uniqueness(dataset: Dataset, scope: Scope) -> Iterator[Check]:
    if dataset.record_key and scope.fields.issuperset(dataset.record_key):
        columns = tuple(f"{name}#key" for name in dataset.record_key)
        yield Check(
            kind="unique", code="duplicate_in_batch", field=dataset.record_key[0], columns=columns
        )


def _check(field: Field, kind: Kind, code: str, column: str, **parameters: object) -> Check:
    return Check(
        kind=kind,
        code=code,
        field=field.name,
        columns=(f"{field.name}{column}",),
        severity=field.severity,
        **parameters,  # type: ignore[arg-type]
    )
