"""Readers of what is not text: codes, dates, instants, decimals, integers.

Each returns ``(value, code)``; the value is None where there is nothing or nothing readable.
"""

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Final

from custody.folding import fold, fold_keeping_spaces, has_confusable
from custody.identifier_forms import Reading
from custody.policy.model import Field

_PLAIN_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DAY: Final = (
    r"(?P<year>[0-9]{4})(?:"
    r"(?P<compact>[0-9]{4})"
    r"|(?P<mark>[-/.])(?P<month>[0-9]{1,2})(?P=mark)(?P<day>[0-9]{1,2})"
    r"| ?年 ?(?P<zh_month>[0-9]{1,2}) ?月 ?(?P<zh_day>[0-9]{1,2}) ?日?)"
)
_DATE: Final = re.compile(rf"{_DAY}(?:[T ]0?0:00(?::00(?:\.0+)?)?)?\Z")
_INSTANT: Final = re.compile(
    rf"{_DAY}(?:[T ]?(?P<hour>[0-9]{{1,2}}) ?[:时點点] ?(?P<minute>[0-9]{{1,2}})"
    r"(?: ?[:分] ?(?:(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{1,9}))? ?秒?)?)?"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
)
_INTEGER: Final = re.compile(r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+))(?:\.0*)?\Z")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?\Z")
_MOST_DIGITS: Final = 18  # what an integer of 64 bits, the payload's, can always hold
_LONGEST_NUMBER: Final = 60
_LONGEST_INSTANT: Final = 60


def read_code(field: Field, raw: str) -> Reading[str | None]:
    """Read a code: a synonym, or one of the field's values in any case, else the folded text."""
    text = fold(raw)
    if not text:
        return None, None
    text = field.synonyms.get(raw.strip()) or field.synonyms.get(text) or text
    if text in field.values:
        return text, None
    if has_confusable(text):
        return text, "confusable_character"
    known = {one.casefold(): one for one in field.values}
    return known.get(text.casefold(), text), None


def read_date(raw: str) -> Reading[date | None]:
    """Read a day: ISO, 2024/1/2, 2024.1.2, 20240102 or 2024年1月2日; a midnight may follow.

    Returns:
        The day; ``type_invalid`` for another shape, ``date_implausible`` for a day that never was.
    """
    if _PLAIN_DATE.match(raw):
        return _day(raw[:4], raw[5:7], raw[8:])
    text = fold_keeping_spaces(raw)[:_LONGEST_INSTANT]
    found = _DATE.match(text)
    return _day(*_parts(found)) if found else _unread(text)


def read_instant(raw: str, zone: tzinfo) -> Reading[datetime | None]:
    """Read an instant, in UTC; one without an offset was written in ``zone``."""
    text = fold_keeping_spaces(raw)[:_LONGEST_INSTANT]
    found = _INSTANT.match(text)
    if not found:
        return _unread(text)
    try:
        return _instant(found, zone), None
    except (ValueError, OverflowError):
        return None, "date_implausible"


def read_decimal(raw: str) -> Reading[Decimal | None]:
    """Read a decimal number, thousands separators in groups of three allowed."""
    text = _number(raw)
    if len(text) <= _LONGEST_NUMBER and _DECIMAL.match(text):
        return Decimal(text.replace(",", "")), None
    return _unread(text)


def read_integer(raw: str) -> Reading[int | None]:
    """Read a whole number; more than 18 digits are ``value_out_of_range``."""
    text = _number(raw)
    found = _INTEGER.match(text) if len(text) <= _LONGEST_NUMBER else None
    if not found:
        return _unread(text)
    digits = found[1].replace(",", "")
    if len(digits.lstrip("+-0")) > _MOST_DIGITS:
        return None, "value_out_of_range"
    return int(digits), None


def _number(raw: str) -> str:
    return raw if raw.isascii() and raw.isdigit() else fold(raw).replace("\u2212", "-")


def _unread(text: str) -> tuple[None, str | None]:
    if not text:
        return None, None
    return None, "confusable_character" if has_confusable(text) else "type_invalid"


def _day(year: str, month: str, day: str) -> Reading[date | None]:
    try:
        return date(int(year), int(month), int(day)), None
    except ValueError:
        return None, "date_implausible"


def _parts(found: re.Match[str]) -> tuple[str, str, str]:
    compact = found["compact"]
    if compact:
        return found["year"], compact[:2], compact[2:]
    return found["year"], found["month"] or found["zh_month"], found["day"] or found["zh_day"]


def _instant(found: re.Match[str], zone: tzinfo) -> datetime:
    year, month, day = map(int, _parts(found))
    local = datetime(
        year,
        month,
        day,
        int(found["hour"] or 0),
        int(found["minute"] or 0),
        int(found["second"] or 0),
        int((found["fraction"] or "0")[:6].ljust(6, "0")),
        tzinfo=zone if found["offset"] is None else _offset(found["offset"]),
    )
    return local.astimezone(UTC)


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    return datetime.strptime(text, "%z").tzinfo or UTC
