"""Finds key bytes in what an error tells: whole or in part, in the forms they take in text."""

import base64
import traceback
from collections.abc import Iterable, Iterator

# So many bytes in a row are no accident; fewer could be.
WINDOW = 8


def everything_told(error: BaseException) -> str:
    """Return all that an error and those behind it say, whether a traceback would show them or not.

    Text, form, arguments, what they keep, notes, and the formatted traceback of each.
    """
    told: list[str] = []
    for one in _behind(error):
        told += [str(one), repr(one), *map(str, one.args), repr(one.args), repr(vars(one))]
        told += map(str, vars(one).values())
        told += traceback.format_exception(one)
    return "\n".join(told)


def forms_found(told: str, secrets: Iterable[bytes]) -> set[str]:
    """Return the forms in which any of the secrets, or eight bytes of one, stand in a text."""
    folded = told.casefold()
    return {
        form
        for secret in secrets
        for part in _windows(secret)
        for form, shown in _forms(part)
        if shown in (folded if form == "hex" else told)
    }


def _behind(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]


def _windows(secret: bytes) -> Iterator[bytes]:
    for start in range(max(1, len(secret) - WINDOW + 1)):
        yield secret[start : start + WINDOW]


def _forms(part: bytes) -> Iterator[tuple[str, str]]:
    yield "hex", part.hex()
    yield "raw", part.decode("latin-1")
    yield "bytes", repr(part)[2:-1]
    yield "bytes", "".join(repr(bytes((one,)))[2:-1] for one in part).replace("'", "\\'")
    yield "text", repr(part.decode("latin-1"))[1:-1]
    yield "numbers", ", ".join(map(str, part))
    # Of a window that begins where a group of three begins; one of three neighbours does.
    within = len(part) * 8 // 6
    yield "base64", base64.b64encode(part).decode()[:within]
    yield "base64", base64.urlsafe_b64encode(part).decode()[:within]
