"""What custody says to people, in Chinese and English, from one catalogue per language.

A catalogue ``<language>.toml`` has the tables ``[codes.<code>]`` (title, why, next: one for each
code of :mod:`custody.codes`), ``[articles]`` (the laws' names in full) and ``[ui]`` (any other
text, by a key of its own, with ``{names}`` to fill in). Both have the same keys; a test says so.
``details.<language>.toml`` has what errors of use say in detail, by their English wording.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from custody.codes import require_code
from custody.errors import UsageError

LANGUAGES: Final = ("zh", "en")
ORIGINAL: Final = "en"
_BLANK: Final = "{}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What there is to say about a code.

    Attributes:
        title: What happened, in a few words.
        why: Why it matters, and which rule asks for it.
        next: What to do about it.
    """

    title: str
    why: str
    next: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Everything ``custody explain`` tells about a code, in one language."""

    code: str
    title: str
    kind: str
    severity: str
    rule: str
    article: str
    evidence: str
    why: str
    next: str


def message(code: str, lang: str) -> Message:
    """Return what the catalogue of ``lang`` says about a code.

    Raises:
        UsageError: There is no such code or language.
    """
    texts = _catalogue(lang)["codes"].get(require_code(code).name)
    if texts is None:
        raise UsageError("the catalogue has no message for the code", code)
    return Message(**texts)


def ui_text(key: str, lang: str, /, **values: str | int) -> str:
    """Return a text of the user interface with its ``{names}`` filled in.

    Raises:
        UsageError: There is no such text or language.
    """
    text = _catalogue(lang)["ui"].get(key)
    if text is None:
        raise UsageError("the catalogue has no text", key)
    return str(text).format(**values)


def article_text(article: str, lang: str) -> str:
    """Return an article such as ``PIPL 14`` in full.

    Raises:
        UsageError: There is no such law or language.
    """
    law, _, number = article.partition(" ")
    text = _catalogue(lang)["articles"].get(law)
    if text is None:
        raise UsageError("the catalogue has no law", law)
    return str(text).format(number)


def explain_code(code: str, lang: str) -> Explanation:
    """Return everything there is to say about a code.

    Raises:
        UsageError: There is no such code or language.
    """
    known, said = require_code(code), message(code, lang)
    return Explanation(
        code=known.name,
        title=said.title,
        kind=known.kind,
        severity=known.severity,
        rule=known.rule,
        article=article_text(known.article, lang),
        evidence=known.evidence,
        why=said.why,
        next=said.next,
    )


def detail_text(said: str, lang: str) -> str:
    """Return what an error of use says in detail, in ``lang``.

    English is how it was written; a wording that the catalogue lacks stays as it is.
    """
    if lang == ORIGINAL:
        return said
    for wording, translated in _details(lang):
        found = wording.fullmatch(said)
        if found:
            return translated.format(*found.groups())
    return said


@cache
def _details(lang: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return each wording as a pattern; those with no name to fill in come first."""
    text = files(__name__).joinpath(f"details.{lang}.toml").read_text(encoding="utf-8")
    known = sorted(tomllib.loads(text).items(), key=lambda pair: _BLANK in pair[0])
    return tuple((_pattern(wording), translated) for wording, translated in known)


def _pattern(wording: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(map(re.escape, wording.split(_BLANK))))


@cache
def _catalogue(lang: str) -> Mapping[str, Any]:
    if lang not in LANGUAGES:
        raise UsageError("custody does not speak the language", lang)
    return tomllib.loads(files(__name__).joinpath(f"{lang}.toml").read_text(encoding="utf-8"))
