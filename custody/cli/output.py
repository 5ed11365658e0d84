"""What a command prints: one document, shown to people as lines and tables, or to programs as JSON.

Results go to stdout, everything else to stderr. Identifiers are never cut to a column's width.
"""

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TypeAlias
from uuid import UUID

from custody.cli.manner import manner
from custody.codes import find_code
from custody.errors import UsageError
from custody.messages import message, ui_text

Facts: TypeAlias = Sequence[tuple[str, str]]
Tables: TypeAlias = Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]

_GAP = "  "
_WIDE = frozenset("WF")
_POLL_SECONDS = 0.3


def show(document: Mapping[str, object], say: str = "") -> None:
    """Print a command's result.

    Args:
        document: The whole result. With ``--quiet`` its first value alone is printed.
        say: The text of the catalogue that tells people what happened; it is filled in from the
            document's plain values.
    """
    if manner().json:
        print(to_json(document))
    elif manner().quiet:
        print(_cell(next(iter(document.values()))))
    else:
        if say:
            print(text(say, **_plain_values(document)))
        print("\n".join(render(document)))


def note(say: str, /, **values: str | int) -> None:
    """Tell people something beside the result."""
    if manner().shows_progress:
        print(text(say, **values), file=sys.stderr, flush=True)


def text(key: str, /, **values: str | int) -> str:
    """Return a text of the catalogue in the present language."""
    return ui_text(key, manner().lang, **values)


def to_json(document: Mapping[str, object]) -> str:
    """Return the one JSON document of a command."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_jsonable)


def render(document: Mapping[str, object]) -> Iterator[str]:
    """Yield the lines that show a document: plain values first, then tables."""
    plain = {key: value for key, value in document.items() if not _is_nested(value)}
    widest = max((width(label(key)) for key in plain), default=0)
    for key, value in plain.items():
        yield f"{_pad(label(key), widest)}{_GAP}{_cell(value)}".rstrip()
    for key, value in document.items():
        if _is_nested(value):
            yield from _section(key, value)


def laid_out(document: Mapping[str, object]) -> tuple[Facts, Tables]:
    """Return a document as it is shown: plain values by name, then tables with their columns."""
    facts = [(label(k), _cell(v)) for k, v in document.items() if not _is_nested(v)]
    tables = []
    for key, value in document.items():
        if _is_nested(value):
            rows = list(_rows(value))
            heads = list(rows[0]) if rows else []
            cells = [[_cell(row[head]) for head in heads] for row in rows]
            tables.append((label(key), [label(head) for head in heads], cells))
    return facts, tables


def table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the lines of a table whose rows have the same keys."""
    keys = list(rows[0])
    cells = [[label(key) for key in keys], *([_cell(row[key]) for key in keys] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(keys))]
    for row in cells:
        padded = (_pad(cell, wide) for cell, wide in zip(row, widths, strict=True))
        yield _GAP.join(padded).rstrip()


def label(key: str) -> str:
    """Return the name people know a key by."""
    try:
        return text(f"label_{key}")
    except UsageError:
        return key.replace("_", " ")


def width(shown: str) -> int:
    """Return how many columns of a terminal a text takes; Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in shown)


@contextmanager
def progress(say: str, done: Callable[[], int], total: int) -> Iterator[None]:
    """Show on stderr how far a block is: a bar on a terminal, one line elsewhere."""
    if not manner().shows_progress:
        yield
    elif not sys.stderr.isatty():
        note(say)
        yield
    else:
        with _bar(say, done, total):
            yield


@contextmanager
def _bar(say: str, done: Callable[[], int], total: int) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import Progress

    over = Event()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text(say), total=total)

        def watch() -> None:
            while not over.wait(_POLL_SECONDS):
                bar.update(task, completed=done())

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again, and return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _section(key: str, value: object) -> Iterator[str]:
    rows = list(_rows(value))
    yield ""
    yield label(key)
    if rows:
        yield from (f"{_GAP}{line}" for line in table(rows))
    else:
        yield f"{_GAP}{text('none')}"


def _rows(value: object) -> Iterable[Mapping[str, object]]:
    if isinstance(value, Mapping):
        return [{"name": _titled(str(key)), "value": one} for key, one in value.items()]
    rows = value if isinstance(value, Sequence) else []
    return [row if isinstance(row, Mapping) else {"value": row} for row in rows]


def _titled(name: str) -> str:
    """Return a code with its title; fields, datasets and states keep the names they have."""
    if find_code(name) is None:
        return name
    return f"{name} · {message(name, manner().lang).title}"


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _plain_values(document: Mapping[str, object]) -> dict[str, str | int]:
    return {
        key: value if isinstance(value, int) else _cell(value)
        for key, value in document.items()
        if not _is_nested(value)
    }


def _cell(value: object) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return text("yes" if value else "no")
    if isinstance(value, datetime):
        return value.astimezone().isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(one)}" for key, one in value.items()) or "—"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "—"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pad(shown: str, columns: int) -> str:
    return shown + " " * (columns - width(shown))


def _jsonable(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)
