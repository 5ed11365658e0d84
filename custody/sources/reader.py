"""What every reader of a source offers, whatever it reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from custody.errors import UsageError
from custody.rows import Chunk


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Where a chunk lies: its number from 0, the number of its first row from 1, its rows.

    Rows that are blank through and through have a number and are counted here, but no chunk holds
    them.
    """

    number: int
    first_row: int
    rows: int


class Reader(Protocol):
    """A source that is open, its columns mapped to the fields of its dataset."""

    @property
    def fields(self) -> frozenset[str]:
        """The fields the source has a column for."""

    @property
    def unknown_columns(self) -> int:
        """How many columns mean no field; they are not read."""

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""

    @property
    def layout(self) -> dict[str, Any]:
        """What is worth knowing when the source is opened again; fit for JSON.

        Where it has a ``state``, the source was not written to as long as that is the same.
        """

    def digest(self, update: Callable[[bytes], object]) -> None:
        """Feed everything the source holds to ``update``, the method of a keyed hash."""

    def spans(self) -> tuple[Span, ...]:
        """Return where every chunk lies."""

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[Chunk]:
        """Return the chunks from number ``first`` to number ``last``, both included."""

    def close(self) -> None:
        """Let go of the file or connection; closing twice is harmless."""

    def __enter__(self) -> Self:
        """Return the reader."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the reader."""


class SourceError(UsageError):
    """A source cannot be read as it is registered; names the source, never its place or content.

    The message of whatever failed underneath is dropped on purpose: drivers put connection
    strings and values into theirs.
    """

    def __str__(self) -> str:
        """Return the source and what is wrong with it."""
        return f"source {self.about}: {self.what}"


def spans_of(rows: int, chunk_rows: int) -> tuple[Span, ...]:
    """Return the spans of ``rows`` rows cut every ``chunk_rows``."""
    return tuple(
        Span(number=number, first_row=start + 1, rows=min(chunk_rows, rows - start))
        for number, start in enumerate(range(0, rows, chunk_rows))
    )
