"""The resident identity number (公民身份号码): its check character, its dates, its old form.

Eighteen characters, as GB 11643-1999 describes them::

    1101 05   1949 12 31   002   X
    area code  birth date   seq   check character, ISO 7064 MOD 11-2, ``X`` for ten

The sequence number is odd for men and even for women. The form of fifteen digits, issued until
1999, leaves out the century (always 19) and the check character.

Area codes are a hint and never a gate: every published list refuses people whose county has since
been renamed, merged or abolished.
"""

import re
from datetime import date
from operator import mul
from typing import Final

_WEIGHTS: Final = tuple(pow(2, 17 - place, 11) for place in range(17))
_ZEROS: Final = ord("0") * sum(_WEIGHTS)  # what seventeen digits weigh for being ASCII
_CHECK: Final = "10X98765432"
_NEW_FORM: Final = re.compile(r"[0-9]{17}[0-9X]\Z")
_OLD_FORM: Final = re.compile(r"[0-9]{15}\Z")
_REGIONS: Final = frozenset(
    str(code)
    for first, last in (
        (11, 15),
        (21, 23),
        (31, 37),
        (41, 46),
        (50, 54),
        (61, 65),
        (71, 71),
        (81, 83),
    )
    for code in range(first, last + 1)
)
_EARLIEST_YEAR: Final = 1850
_MEN: Final = frozenset("13579")

PATTERN: Final = "^[0-9]{17}[0-9X]$"


def check_character(first_seventeen: str) -> str:
    """Return the eighteenth character for the seventeen digits before it (ISO 7064 MOD 11-2)."""
    total = sum(map(mul, _WEIGHTS, first_seventeen.encode("ascii"))) - _ZEROS
    return _CHECK[total % 11]


def is_old_form(text: str) -> bool:
    """Return whether ``text`` is fifteen ASCII digits."""
    return _OLD_FORM.match(text) is not None


def to_new_form(old: str) -> str:
    """Return the eighteen characters of a number in the form of fifteen digits."""
    extended = f"{old[:6]}19{old[6:]}"
    return extended + check_character(extended)


def problem_of(text: str) -> str | None:
    """Return why ``text`` is no resident ID, or None if it is one.

    Only the first of these is given, because what follows cannot be judged without it: the shape,
    the calendar date, the check character.
    """
    if not _NEW_FORM.match(text):
        return "resident_id_malformed"
    if birth_on(text) is None:
        return "resident_id_date"
    if text[17] != check_character(text[:17]):
        return "resident_id_check_digit"
    return None


def birth_on(number: str) -> date | None:
    """Return the date of birth a number of eighteen characters states, None if there is none."""
    try:
        day = date.fromisoformat(number[6:14])
    except ValueError:
        return None
    return day if day.year >= _EARLIEST_YEAR else None


def sex(number: str) -> str:
    """Return ``M`` or ``F``, as the sequence number of the eighteen characters says."""
    return "M" if number[16] in _MEN else "F"


def region_known(number: str) -> bool:
    """Return whether the first two digits are those of a province: a hint, not a check."""
    return number[:2] in _REGIONS
