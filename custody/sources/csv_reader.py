"""Reading CSV files of any size in bounded memory, any chunk without those before it.

Opening reads the file twice: once to find its encoding, once to note at which byte every chunk
starts, unless that is known from before. A chunk then costs one seek. The file is opened once, and
refused if it changes meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self

from custody.policy.model import Dataset, Source
from custody.rows import Chunk, RawRow, RawValue
from custody.sources.columns import ColumnMap, map_columns
from custody.sources.encodings import UTF8, Encoding, find_encodings
from custody.sources.files import feed, open_regular, reading, require_unchanged, state_of
from custody.sources.reader import SourceError, Span, spans_of
from custody.sources.records import Record, records


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """What opening found out: encoding, columns, where each chunk starts, how many records."""

    encoding: Encoding
    columns: ColumnMap
    starts: tuple[int, ...]
    rows: int


class CsvReader:
    """A CSV file whose first record names its columns."""

    def __init__(
        self,
        location: str,
        *,
        source: Source,
        dataset: Dataset,
        chunk_rows: int,
        required: frozenset[str],
        known: Mapping[str, Any],
    ) -> None:
        """Open the file; see :func:`custody.sources.open_source`."""
        self._source = source
        self._chunk_rows = chunk_rows
        self._file = open_regular(location, source.name)
        try:
            self._state = state_of(self._file)
            with reading(source.name):
                if known.get("state") == list(self._state):
                    self._layout = _same_layout(self._file, source, dataset, required, known)
                else:
                    self._layout = _find_layout(self._file, source, dataset, chunk_rows, required)
        except BaseException:
            self._file.close()
            raise

    @property
    def fields(self) -> frozenset[str]:
        """The fields the file has a column for."""
        return self._layout.columns.fields

    @property
    def unknown_columns(self) -> int:
        """How many columns mean no field."""
        return self._layout.columns.unknown

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return len(self._layout.starts)

    @property
    def layout(self) -> dict[str, Any]:
        """What saves reading the file through when it is opened again unchanged."""
        return {
            "state": list(self._state),
            "codec": self._layout.encoding.codec,
            "mark": self._layout.encoding.mark,
            "starts": list(self._layout.starts),
            "rows": self._layout.rows,
        }

    def digest(self, update: Callable[[bytes], object]) -> None:
        """Feed the file's bytes to ``update``."""
        with reading(self._source.name):
            feed(self._file, update)
        require_unchanged(self._file, self._state, self._source.name)

    def spans(self) -> tuple[Span, ...]:
        """Return where every chunk lies."""
        return spans_of(self._layout.rows, self._chunk_rows)

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[Chunk]:
        """Return the chunks from number ``first`` to number ``last``, both included."""
        end = len(self._layout.starts) if last is None else last + 1
        for number in range(first, min(end, len(self._layout.starts))):
            with reading(self._source.name):
                rows = tuple(self._rows(number))
            yield Chunk(number=number, rows=rows)
            require_unchanged(self._file, self._state, self._source.name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _rows(self, number: int) -> Iterator[RawRow]:
        layout = self._layout
        found = records(self._file, layout.encoding, layout.starts[number])
        first = number * self._chunk_rows + 1
        known = layout.columns.known
        for place, record in zip(range(first, first + self._chunk_rows), found, strict=False):
            row = _row(place, record, layout, known)
            if row is not None:
                yield row


def _find_layout(
    file: BinaryIO, source: Source, dataset: Dataset, chunk_rows: int, required: frozenset[str]
) -> _Layout:
    possible = find_encodings(file, source.encoding, source.name)
    encoding, columns, start = _read_header(file, source, dataset, required, possible)
    starts: list[int] = []
    rows = 0
    for record in records(file, encoding, start):
        if rows % chunk_rows == 0:
            starts.append(start)
        start, rows = record.end, rows + 1
    return _Layout(encoding=encoding, columns=columns, starts=tuple(starts), rows=rows)


def _same_layout(
    file: BinaryIO,
    source: Source,
    dataset: Dataset,
    required: frozenset[str],
    known: Mapping[str, Any],
) -> _Layout:
    """Return the layout of a file that was read through before; only its header is read again."""
    encoding = Encoding(codec=known["codec"], mark=known["mark"])
    _, columns, _ = _read_header(file, source, dataset, required, (encoding,))
    return _Layout(
        encoding=encoding, columns=columns, starts=tuple(known["starts"]), rows=known["rows"]
    )


def _read_header(
    file: BinaryIO,
    source: Source,
    dataset: Dataset,
    required: frozenset[str],
    encodings: Sequence[Encoding],
) -> tuple[Encoding, ColumnMap, int]:
    """Return the encoding whose header has the expected words; the columns; the offset after it."""
    fitting = []
    failure: SourceError | None = None
    for encoding in encodings:
        header = next(records(file, encoding, 0), None)
        if header is None or header.problem:
            raise SourceError("the file has no header", source.name)
        try:
            columns = map_columns(source, dataset, _cells(header, encoding), required)
        except SourceError as error:
            failure = failure or error
        else:
            fitting.append((encoding, columns, header.end))
    if len(fitting) > 1:
        raise SourceError("utf-8 or gb18030 cannot be told apart: declare one", source.name)
    if failure and not fitting:
        raise failure
    return fitting[0]


def _row(
    number: int, record: Record, layout: _Layout, known: Sequence[tuple[int, str]]
) -> RawRow | None:
    if record.problem:
        return RawRow(number=number, values={}, problems=(record.problem,))
    cells = _cells(record, layout.encoding)
    if not any(map(str.strip, cells)):
        return None
    problems = _problems(cells, record, layout)
    if len(cells) < len(layout.columns.places):
        known = [(place, name) for place, name in known if place < len(cells)]
    values: dict[str, RawValue] = {name: cells[place] for place, name in known}
    return RawRow(number=number, values=values, problems=problems)


def _problems(cells: list[str], record: Record, layout: _Layout) -> tuple[str, ...]:
    if len(cells) != len(layout.columns.places):
        return ("ragged_row",)
    return ("control_character",) if b"\r" in record.line else ()


def _cells(record: Record, encoding: Encoding) -> list[str]:
    codec = UTF8 if encoding.codec.startswith("utf-16") else encoding.codec
    if record.cells is not None:
        return [cell.encode("latin-1").decode(codec) for cell in record.cells]
    return record.line.decode(codec).split(",")
