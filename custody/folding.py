"""Making texts that look alike be alike, before anything is compared or matched.

Compatibility forms (full-width digits, Roman numerals) are folded by NFKC; format characters and
spaces go. What NFKC leaves beside ASCII is not guessed at: a Cyrillic letter Ha is no X, and a
field that ought to be ASCII says so by its code (rules.md, Chinese identifiers).
"""

import re
import unicodedata
from typing import Final

_SPACES: Final = re.compile(r"\s+")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNDECODABLE: Final = re.compile("[\ufffd\ud800-\udfff]")


def fold(text: str) -> str:
    """Return ``text`` in NFKC, without format characters and without any space."""
    return _SPACES.sub("", fold_keeping_spaces(text))


def fold_keeping_spaces(text: str) -> str:
    """Return ``text`` in NFKC, stripped, without format characters, every gap one space."""
    if not text.isascii():
        text = "".join(
            one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf"
        )
    return _SPACES.sub(" ", text).strip()


def character_problem(text: str) -> str | None:
    """Return the code of a character no text may hold, or None.

    A replacement character or a lone surrogate means that somebody decoded the text wrongly
    before custody saw it; control characters other than tab and line breaks have no meaning.
    """
    if text.isascii() and text.isprintable():
        return None
    if _UNDECODABLE.search(text):
        return "undecodable_text"
    return "control_character" if _CONTROL.search(text) else None


def has_confusable(text: str) -> bool:
    """Return whether folded ``text`` holds a character that can pass for an ASCII one.

    These are letters, digits and marks outside ASCII that are not of East Asian width: Cyrillic,
    Greek, Arabic digits, the enclosing mark of a keycap. A hanzi cannot be mistaken for a digit.
    """
    return not text.isascii() and any(_is_confusable(one) for one in text)


def _is_confusable(character: str) -> bool:
    return (
        character > "\x7f"
        and unicodedata.category(character)[0] in "LNM"
        and unicodedata.east_asian_width(character) not in "WF"
    )
