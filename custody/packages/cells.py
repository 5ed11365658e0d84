"""Cells that no spreadsheet takes for a formula.

A cell is taken for a formula by its first character: ``= + - @``, and tab or carriage return,
which some programs drop before they look again. Their full-width forms count as well, and so does
anything that begins so after spaces or invisible characters. Such a text gets an apostrophe in
front, which spreadsheets show as text; numbers of the catalogue's numeric types stay numbers, for
a minus sign before digits is no formula.
"""

import unicodedata
from decimal import Decimal
from typing import Final

TRIGGERS: Final = frozenset("=+-@\u2212")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
APOSTROPHE: Final = "'"


def neutralise(text: str) -> str:
    """Return ``text``, with an apostrophe in front if a spreadsheet might take it for a formula."""
    return APOSTROPHE + text if is_formula_like(text) else text


def is_formula_like(text: str) -> bool:
    """Whether a spreadsheet might take the text for a formula."""
    if text[:1] in {"\t", "\r", "\n"}:
        return True
    for character in text:
        if unicodedata.category(character) in _INVISIBLE:
            continue
        return not TRIGGERS.isdisjoint(unicodedata.normalize("NFKC", character)[:1])
    return False


def cell_text(value: str | int | Decimal) -> str:
    """Return a cell's text: numbers as they are, everything else made harmless."""
    match value:
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case _:
            return neutralise(value)
