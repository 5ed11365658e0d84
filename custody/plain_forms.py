"""Values that are written just as custody keeps them, told at a glance.

Most cells of most sources are. For each field there is a reader that returns the value of such a
cell, and None for any other, which then goes through :mod:`custody.normalise` as a whole. What a
plain reader returns is what normalising would return, without a problem; a test holds it to that.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, TypeAlias

from custody import resident_id
from custody.identifier_forms import IDENTIFIERS, luhn_holds
from custody.policy.model import Field, FieldType
from custody.typed_forms import read_code

Held: TypeAlias = str | int | date | datetime | Decimal
PlainReader: TypeAlias = Callable[[str], Held | None]

_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE: Final = re.compile(_DAY).fullmatch
_INSTANT: Final = re.compile(f"{_DAY}[T ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}[+-][0-9]{{2}}:[0-9]{{2}}")
_INTEGER: Final = re.compile("[0-9]{1,18}").fullmatch
_DECIMAL: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?").fullmatch
_IDENTIFIER: Final = re.compile("[0-9A-Za-z][0-9A-Za-z_./-]*").fullmatch
# Letters that NFC leaves alone, a hanzi or a letter of ASCII first, no space at the end.
_TEXT: Final = re.compile(
    "[0-9A-Za-z\u4e00-\u9fff](?:[ -~\u4e00-\u9fff]*[!-~\u4e00-\u9fff])?"
).fullmatch
_MOBILE: Final = re.compile("1[3-9][0-9]{9}").fullmatch
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._%+'&/=~-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}"
).fullmatch
_CARD: Final = re.compile("[0-9]{13,19}").fullmatch


def plain_reader(field: Field, *, identifier: bool) -> PlainReader:
    """Return what reads the plain cells of a field.

    Args:
        field: The field.
        identifier: Whether the field names a record or a subject.
    """
    if field.type is FieldType.TEXT:
        return _text_reader(field, identifier=identifier)
    if field.type is FieldType.CODE:
        written = (*field.values, *field.synonyms)
        known = {one: value for one in written if (value := _code(field, one)) is not None}
        return known.get
    return _TYPED[field.type]


def _text_reader(field: Field, *, identifier: bool) -> PlainReader:
    if field.detector in IDENTIFIERS:
        return _DETECTED.get(field.detector, _nothing)
    match, longest = _IDENTIFIER if identifier else _TEXT, field.max_length

    def read(raw: str) -> str | None:
        return raw if (longest <= 0 or len(raw) <= longest) and match(raw) else None

    return read


def _code(field: Field, raw: str) -> str | None:
    value, problem = read_code(field, raw)
    return None if problem or value not in field.values else value


def _nothing(_: str) -> None:
    return None


def _date(raw: str) -> date | None:
    try:
        return date.fromisoformat(raw) if _DATE(raw) else None
    except ValueError:
        return None


def _instant(raw: str) -> datetime | None:
    try:
        return datetime.fromisoformat(raw).astimezone(UTC) if _INSTANT.fullmatch(raw) else None
    except (ValueError, OverflowError):
        return None


def _decimal(raw: str) -> Decimal | None:
    return Decimal(raw) if _DECIMAL(raw) else None


def _integer(raw: str) -> int | None:
    return int(raw) if _INTEGER(raw) else None


def _resident_id(raw: str) -> str | None:
    return raw if resident_id.problem_of(raw) is None else None


def _mobile(raw: str) -> str | None:
    return raw if _MOBILE(raw) else None


def _email(raw: str) -> str | None:
    return raw if _EMAIL(raw) else None


def _bank_card(raw: str) -> str | None:
    return raw if _CARD(raw) and luhn_holds(raw) else None


_TYPED: Final[dict[FieldType, PlainReader]] = {
    FieldType.DATE: _date,
    FieldType.INSTANT: _instant,
    FieldType.DECIMAL: _decimal,
    FieldType.INTEGER: _integer,
}
_DETECTED: Final[dict[str | None, PlainReader]] = {
    "resident_id": _resident_id,
    "mobile": _mobile,
    "email": _email,
    "bank_card": _bank_card,
}
