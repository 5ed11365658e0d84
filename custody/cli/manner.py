"""How the present command speaks: to people or to programs, in which language, how much.

The options that say so (``--json``, ``--quiet``, ``--lang``, ``--debug``) stand anywhere on the
command line, before or behind the command; :func:`take_manner` picks them out.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from custody.errors import UsageError
from custody.messages import LANGUAGES

LOCALE: Final = "CUSTODY_LOCALE"
DEFAULT_LANGUAGE: Final = "en"
_SWITCHES: Final = {"--json": "json", "--quiet": "quiet", "-q": "quiet", "--debug": "debug"}
_LANG: Final = "--lang"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How to speak.

    Attributes:
        json: One JSON document on stdout, and nothing else anywhere.
        quiet: Only the result's identifier on stdout, no progress.
        debug: Tracebacks, which may hold a customer's data.
        lang: ``zh`` or ``en``.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False
    lang: str = DEFAULT_LANGUAGE

    @property
    def shows_progress(self) -> bool:
        """Whether progress belongs on stderr."""
        return not (self.json or self.quiet)


_present: ContextVar[Manner] = ContextVar("manner", default=Manner())  # noqa: B039 - frozen


def manner() -> Manner:
    """Return how the present command speaks."""
    return _present.get()


def speak(new: Manner) -> None:
    """Let the present command speak so."""
    _present.set(new)


def is_interactive() -> bool:
    """Whether a person sits at the terminal and may be asked."""
    return not manner().json and sys.stdin.isatty() and sys.stderr.isatty()


def take_manner(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> tuple[Manner, list[str]]:
    """Return the manner that arguments and environment ask for, and the other arguments.

    Raises:
        UsageError: ``--lang`` without a language custody speaks.
    """
    before, after = _until_dashes(list(arguments))
    chosen = {_SWITCHES[one]: True for one in before if one in _SWITCHES}
    rest = [one for one in before if one not in _SWITCHES]
    lang, rest = _take_lang(rest, environment.get(LOCALE) or DEFAULT_LANGUAGE)
    return Manner(**chosen, lang=lang), rest + after


def _until_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    border = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:border], arguments[border:]


def _take_lang(arguments: list[str], lang: str) -> tuple[str, list[str]]:
    rest = []
    left = iter(arguments)
    for one in left:
        name, equals, value = one.partition("=")
        if name == _LANG:
            lang = value if equals else next(left, "")
        else:
            rest.append(one)
    if lang not in LANGUAGES:
        raise UsageError("custody does not speak the language", lang)
    return lang, rest
