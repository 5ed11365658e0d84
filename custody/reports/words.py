"""The words of the report, from its own catalogue per language, and how figures are shown."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from custody.codes import find_code
from custody.errors import UsageError
from custody.messages import LANGUAGES, article_text, message


@cache
def words(lang: str) -> Mapping[str, Any]:
    """Return the report's catalogue.

    Raises:
        UsageError: There is no such language.
    """
    if lang not in LANGUAGES:
        raise UsageError("custody does not speak the language", lang)
    text = files("custody.reports").joinpath(f"texts/{lang}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def code_title(code: str, lang: str) -> str:
    """Return what a code says in a few words; a code nobody knows stands for itself."""
    return message(code, lang).title if find_code(code) else code


def code_article(code: str, lang: str) -> str:
    """Return the article behind a code, or nothing for a code nobody knows."""
    known = find_code(code)
    return article_text(known.article, lang) if known else ""


def destroy_reason(reason: str, lang: str) -> str:
    """Return why records were destroyed or kept; a code's title where it is a code."""
    own: Mapping[str, str] = words(lang)["destroy_reasons"]
    return own.get(reason) or code_title(reason, lang)


def state_name(state: str, lang: str) -> str:
    """Return a decision's or run's state in words; an unknown one stands for itself."""
    names: Mapping[str, str] = words(lang)["states"]
    return names.get(state, state)


def grouped(value: object) -> str:
    """Return a whole number with thousands separators; anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def instant(value: object) -> str:
    """Return an instant or day to the minute with its offset; other text as it is."""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    if len(text) <= len("2026-01-01"):
        return text
    return f"{read:%Y-%m-%d %H:%M} {read.isoformat()[-6:] if read.tzinfo else ''}".rstrip()


def breakable(name: object) -> Markup:
    """Return a name that a narrow column may break after its underscores."""
    return Markup("_<wbr>").join(str(name).split("_"))


def short(digest: object) -> str:
    """Return the beginning of a digest, enough to compare by eye."""
    text = str(digest)
    return f"{text[:12]}…" if len(text) > 16 else text  # noqa: PLR2004 - two characters too many
