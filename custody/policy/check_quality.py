"""What gates and a firm's own suites must agree on with the rest of the policy."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from custody.policy.check_purposes import fields_dangling
from custody.policy.drafts import Drafts, Entry, sound
from custody.policy.expectations import KINDS, NUMBERS, Kind, Parameter, sort_of
from custody.policy.model import STAGES, FieldType
from custody.policy.problems import Problem
from custody.policy.shapes import FieldShape
from custody.policy.shapes_quality import ExpectationShape, GateShape, SuiteShape

_DANGLING: Final = "policy_dangling_reference"
_ILLEGAL: Final = "policy_illegal_value"
_COUNTS: Final = {"one": (1, 1), "pair": (2, 2), "several": (2, 20)}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,10})?\Z")
_BOUNDED: Final = frozenset({"min_value", "max_value"})
_FLAGS: Final = {"strict_min": "min_value", "strict_max": "max_value"}
_INSTANT: Final = datetime(2026, 11, 28, 13, 14, 15)  # noqa: DTZ001 - any will do
_MATCH_ON: Final = frozenset({"any", "all"})


def check_quality(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with gates and suites."""
    for entry, gate in drafts.sound("gates", GateShape):
        if entry.name not in STAGES:
            message = f"no such stage; known are {', '.join(STAGES)}"
            yield entry.problem(_ILLEGAL, message)
        elif entry.name != "ingest" and gate.tolerated_permille:
            message = f"nothing is let pass at {entry.name}"
            yield entry.problem(_ILLEGAL, message, "tolerated_permille")
        yield from _check_owner(drafts, entry, gate.owner)
    for entry, suite in drafts.sound("suites", SuiteShape):
        yield from _check_owner(drafts, entry, suite.owner)
        yield from _check_rows(entry, suite)
        dataset = drafts.section("datasets").get(suite.dataset)
        if dataset is None:
            yield entry.problem(_DANGLING, f"no dataset is called {suite.dataset}", "dataset")
            continue
        for part, expectation in sound(entry.parts, ExpectationShape):
            yield from _check_expectation(part, expectation, dataset)


def _check_owner(drafts: Drafts, entry: Entry, owner: str) -> Iterator[Problem]:
    if owner not in drafts.section("roles"):
        yield entry.problem(_DANGLING, f"no role is called {owner}", "owner")


def _check_rows(entry: Entry, suite: SuiteShape) -> Iterator[Problem]:
    least, most = suite.rows_at_least, suite.rows_at_most
    if least is not None and most is not None and least > most:
        yield entry.problem(_ILLEGAL, "more rows at least than at most", "rows_at_least")


def _check_expectation(
    entry: Entry, expectation: ExpectationShape, dataset: Entry
) -> Iterator[Problem]:
    kind = KINDS[expectation.expect]
    yield from fields_dangling(entry, dataset, expectation.fields, "fields")
    least, most = _COUNTS[kind.fields]
    if not least <= len(expectation.fields) <= most:
        message = f"{expectation.expect} looks at {_many(least, most)}"
        yield entry.problem(_ILLEGAL, message, "fields")
    shapes = [
        part.shape
        for name in expectation.fields
        if (part := dataset.parts.get(name)) and isinstance(part.shape, FieldShape)
    ]
    yield from _check_types(entry, expectation.expect, kind, [shape.type for shape in shapes])
    yield from _check_parameters(entry, expectation, kind, shapes)


def _many(least: int, most: int) -> str:
    if least == most:
        return "one field" if least == 1 else f"{least} fields"
    return f"{least} to {most} fields"


def _check_types(
    entry: Entry, expect: str, kind: Kind, types: list[FieldType]
) -> Iterator[Problem]:
    for index, one in enumerate(types):
        if one not in kind.types:
            message = f"{expect} is for fields of {', '.join(sorted(kind.types))}"
            yield entry.problem(_ILLEGAL, message, "fields", index)
    if len({sort_of(one) for one in types}) > 1:
        message = "fields of different sorts cannot be compared"
        yield entry.problem(_ILLEGAL, message, "fields")


def _check_parameters(
    entry: Entry, expectation: ExpectationShape, kind: Kind, shapes: list[FieldShape]
) -> Iterator[Problem]:
    given = expectation.parameters
    for name in kind.needed - given.keys():
        yield entry.problem("policy_missing_key", f"{name} is missing", "parameters")
    if "min_value" in kind.parameters and not _BOUNDED & given.keys():
        message = "min_value or max_value is missing"
        yield entry.problem("policy_missing_key", message, "parameters")
    for name, value in given.items():
        if name not in kind.parameters:
            message = f"{expectation.expect} has no parameter {name}"
            code = "policy_unknown_key"
            yield entry.problem(code, message, "parameters", name, on_key=True)
        elif wrong := _wrong(name, kind.parameters[name], value, shapes):
            yield entry.problem(_ILLEGAL, f"{name}: {wrong}", "parameters", name)
    yield from _check_bounds(entry, given)


def _check_bounds(entry: Entry, given: Mapping[str, object]) -> Iterator[Problem]:
    for flag, bound in _FLAGS.items():
        if given.get(flag) and bound not in given:
            message = f"{flag} without {bound}"
            yield entry.problem(_ILLEGAL, message, "parameters", flag)
    least, most = given.get("min_value"), given.get("max_value")
    if _is_reversed(least, most):
        message = "min_value lies above max_value"
        yield entry.problem(_ILLEGAL, message, "parameters", "min_value")


def _is_reversed(least: object, most: object) -> bool:
    if _is_number(least) and _is_number(most):
        return Decimal(str(least)) > Decimal(str(most))
    return (
        _is_day(least) and _is_day(most) and "today" not in {least, most} and str(least) > str(most)
    )


def _wrong(name: str, kind: Parameter, value: object, shapes: list[FieldShape]) -> str:
    """Return what a value should be and is not; empty where it is."""
    numeric = not shapes or shapes[0].type in NUMBERS
    right, wanted = {
        "text": (isinstance(value, str), "a text"),
        "texts": (isinstance(value, list) and bool(value), "a list of texts, one at least"),
        "whole": (_is_number(value) and isinstance(value, int) and value >= 0, "a whole number"),
        "flag": (isinstance(value, bool), "true or false"),
        "match_on": (isinstance(value, str) and value in _MATCH_ON, "any or all"),
        "bound": (
            _is_number(value) if numeric else _is_day(value),
            "a number" if numeric else "a day such as 2026-01-31, or today",
        ),
    }[kind]
    return _wrong_text(name, value, shapes) if right else f"expected {wanted}"


def _wrong_text(name: str, value: object, shapes: list[FieldShape]) -> str:
    """Return what is wrong with texts that are patterns, formats or values of a list."""
    texts = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    if name in {"regex", "regex_list"} and not all(map(_is_pattern, texts)):
        return "not a regular expression"
    if name == "strftime_format" and not _is_format(texts[0]):
        return "not a format of strftime that reads what it writes"
    known = {value for shape in shapes for value in shape.values}
    if name == "value_set" and known and not known.issuperset(texts):
        return f"not among the field's values: {', '.join(sorted(set(texts) - known))}"
    return ""


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _is_format(text: str) -> bool:
    """Whether a format has a part that is read, and reads back what it writes."""
    try:
        written = _INSTANT.strftime(text)
        datetime.strptime(written, text)  # noqa: DTZ007 - only whether it can be read
    except (ValueError, re.error):
        return False
    return written != text


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and _NUMBER.match(str(value)) is not None


def _is_day(value: object) -> bool:
    if value == "today":
        return True
    if not isinstance(value, str) or not _DAY.match(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True
