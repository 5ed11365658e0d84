r"""Finding identifiers in text that people wrote, and saying where without saying what.

The text is looked at through a view: compatibility forms folded, digits of every script read as
digits, letters that pass for an X read as X, format characters left out. The view is deliberately
more lenient than :mod:`custody.normalise`: there a look-alike makes an identifier unusable, here it
must not hide one.

``\b`` is no border beside hanzi, so every pattern says itself what may not stand next to it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from custody import resident_id
from custody.identifier_forms import luhn_holds

RESIDENT_ID: Final = "resident_id"
BANK_CARD: Final = "bank_card"
MOBILE: Final = "mobile"
EMAIL: Final = "email"

_BEFORE: Final = "(?<![0-9A-Za-z])"
_AFTER: Final = "(?![0-9A-Za-z])"
_GAP: Final = "[ -]?"
_SHORTEST: Final = 11  # digits; a mobile number has the fewest
_ENOUGH: Final = re.compile(f"(?:[\u3001-\u9fff]*[^\u3001-\u9fff]){{{_SHORTEST}}}")
_AT: Final = re.compile("[@\uff20\ufe6b]")
_DIGIT: Final = re.compile(r"[0-9]")
_RESIDENT_ID: Final = re.compile(f"{_BEFORE}[0-9](?:{_GAP}[0-9]){{16}}{_GAP}[0-9Xx]{_AFTER}")
_OLD_RESIDENT_ID: Final = re.compile(f"{_BEFORE}[0-9]{{15}}{_AFTER}")
_BANK_CARD: Final = re.compile(f"{_BEFORE}[2-69](?:{_GAP}[0-9]){{12,18}}{_AFTER}")
_MOBILE: Final = re.compile(
    f"{_BEFORE}(?:\\+?86{_GAP}|0086{_GAP})?1[3-9][0-9](?:{_GAP}[0-9]{{4}}){{2}}{_AFTER}"
)
_EMAIL: Final = re.compile(
    r"(?<![0-9A-Za-z._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![0-9A-Za-z])"
)
_CARD_PREFIX: Final = re.compile("62|4|5[1-5]|2[2-7]|3[47]|35|60|65|68|69|9")
_SEPARATORS: Final = re.compile("[ -]")
_NOTHING: Final[frozenset[str]] = frozenset()
_LOOKS_LIKE_X: Final = frozenset("\u0425\u0445\u03a7\u03c7\u2573\u00d7\u2715")


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """Where something was found: ``text[start:end]`` holds it, and this holds nothing of it."""

    kind: str
    start: int
    end: int


def detect(text: str) -> tuple[Detection, ...]:
    """Return the identifiers in ``text`` in the order they stand there, none within another.

    A resident ID must have a calendar date and its check character (in the old form, the date); a
    bank card number a Luhn check digit and a prefix that issuers use; where two overlap, the one
    named first here is given.
    """
    if not _may_hold(text):
        return ()
    view, places = _view(text)
    found: list[Detection] = []
    if len(_DIGIT.findall(view)) >= _SHORTEST:
        for kind, pattern, holds in _NUMBERS:
            found.extend(_new(found, _matches(kind, pattern, holds, view)))
    if "@" in view:
        found.extend(_new(found, _matches(EMAIL, _EMAIL, _always, view)))
    return tuple(_moved(one, places) for one in sorted(found, key=lambda one: one.start))


def _may_hold(text: str) -> bool:
    """Whether a text is worth a closer look: few are, and this is asked of every one."""
    if len(text) < _SHORTEST and text.isalnum():
        return False
    return _ENOUGH.match(text) is not None or _AT.search(text) is not None


def kinds_in(text: str) -> frozenset[str]:
    """Return which kinds of identifier ``text`` holds."""
    found = detect(text)
    return frozenset(one.kind for one in found) if found else _NOTHING


def _view(text: str) -> tuple[str, list[int] | None]:
    """Return the text as the patterns see it, and where each of its characters came from."""
    if text.isascii():
        return text, None
    shown = [(_shown(one), place) for place, one in enumerate(text)]
    places = [place for part, place in shown for _ in part]
    return "".join(part for part, _ in shown), places


def _shown(character: str) -> str:
    if character < "\x80" or "\u4e00" <= character <= "\u9fff":
        return character
    if character in _LOOKS_LIKE_X:
        return "X"
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Pd":
        return "-"
    return "" if category[0] == "M" or category == "Cf" else _folded(character)


def _folded(character: str) -> str:
    folded = unicodedata.normalize("NFKC", character)
    return " " if folded.isspace() else folded


def _matches(
    kind: str, pattern: re.Pattern[str], holds: Callable[[str], bool], view: str
) -> Iterator[Detection]:
    for match in pattern.finditer(view):
        if holds(_SEPARATORS.sub("", match[0])):
            yield Detection(kind=kind, start=match.start(), end=match.end())


def _new(known: list[Detection], found: Iterator[Detection]) -> list[Detection]:
    return [one for one in found if not any(one.start < k.end and k.start < one.end for k in known)]


def _moved(found: Detection, places: list[int] | None) -> Detection:
    if places is None:
        return found
    return Detection(kind=found.kind, start=places[found.start], end=places[found.end - 1] + 1)


def _is_resident_id(digits: str) -> bool:
    return resident_id.problem_of(digits.upper()) is None


def _is_old_resident_id(digits: str) -> bool:
    return resident_id.birth_on(resident_id.to_new_form(digits)) is not None


def _is_bank_card(digits: str) -> bool:
    return _CARD_PREFIX.match(digits) is not None and luhn_holds(digits)


def _always(_: str) -> bool:
    return True


_NUMBERS: Final = (
    (RESIDENT_ID, _RESIDENT_ID, _is_resident_id),
    (BANK_CARD, _BANK_CARD, _is_bank_card),
    (RESIDENT_ID, _OLD_RESIDENT_ID, _is_old_resident_id),
    (MOBILE, _MOBILE, _always),
)
