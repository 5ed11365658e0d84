"""Reading a table or query of any database SQLAlchemy knows, streamed and in a fixed order.

Names of tables and columns come from the database's own catalogue and are quoted by the dialect;
nothing a source declares is pasted into SQL, except a query, which is the policy's own text and
runs as a derived table, so that it can only be one SELECT. Rows are ordered by the columns of the
record key, or by the first column: resuming at chunk n must find the rows it left.

Whatever the driver says in an error is dropped: it quotes connection strings and values.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    FromClause,
    NullPool,
    Select,
    column,
    create_engine,
    func,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnClause, quoted_name

from custody.policy.model import Dataset, Source
from custody.rows import Chunk, NumericCell, RawRow, RawValue
from custody.sources.columns import map_columns
from custody.sources.reader import SourceError, Span, spans_of

_QUERY: Final = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_LONGEST_CELL: Final = 1 << 24  # bytes, of SQLite, which would give any blob
_DERIVED: Final = "custody_source"
# What a driver, or the search for one, raises where a database cannot be read.
_UNREADABLE: Final = (SQLAlchemyError, ImportError, OSError, ValueError, TypeError, LookupError)

_T = TypeVar("_T")


class SqlReader:
    """A table or query whose columns have names."""

    def __init__(
        self,
        location: str,
        *,
        source: Source,
        dataset: Dataset,
        chunk_rows: int,
        required: frozenset[str],
    ) -> None:
        """Open the database; see :func:`custody.sources.open_source`."""
        self._source = source
        self._chunk_rows = chunk_rows
        self._engine = _engine(location, source.name)
        try:
            header = self._translated(lambda: _header(self._engine, source))
            self._columns = map_columns(source, dataset, header, required)
        except BaseException:
            self._engine.dispose()
            raise
        self._names = {name: header[place] for place, name in self._columns.known}
        self._from = _from(self._engine, source, self._names)
        self._select = _select(self._from, self._names, dataset)
        self._rows: int | None = None

    @property
    def fields(self) -> frozenset[str]:
        """The fields there is a column for."""
        return self._columns.fields

    @property
    def unknown_columns(self) -> int:
        """How many columns mean no field."""
        return self._columns.unknown

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return -(-self._row_count() // self._chunk_rows)

    @property
    def layout(self) -> dict[str, Any]:
        """Nothing: a database does not say whether it is the same still."""
        return {}

    def digest(self, update: Callable[[bytes], object]) -> None:
        """Feed the names of the fields and every value to ``update``, in the order of reading."""
        update("\x1f".join(self._names).encode() + b"\x1e")
        for chunk in self.chunks():
            for row in chunk.rows:
                for value in row.values.values():
                    update(_fed(value))
                update(b"\x1e")

    def spans(self) -> tuple[Span, ...]:
        """Return where every chunk lies."""
        return spans_of(self._row_count(), self._chunk_rows)

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[Chunk]:
        """Return the chunks from number ``first`` to number ``last``, both included."""
        statement = self._select.offset(first * self._chunk_rows)
        if last is not None:
            statement = statement.limit((last - first + 1) * self._chunk_rows)
        with self._translated(self._engine.connect) as connection:
            parts = self._translated(lambda: self._stream(connection, statement))
            number = first
            while (part := self._translated(lambda: next(parts, None))) is not None:
                yield Chunk(number=number, rows=tuple(self._numbered(number, part)))
                number += 1

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        self.close()

    def _stream(
        self, connection: Connection, statement: Select[Any]
    ) -> Iterator[Sequence[Sequence[object]]]:
        streamed = connection.execution_options(
            stream_results=True, yield_per=self._chunk_rows
        ).execute(statement)
        return streamed.partitions(self._chunk_rows)

    def _numbered(self, number: int, part: Sequence[Sequence[object]]) -> Iterator[RawRow]:
        names = tuple(self._names)
        for place, cells in enumerate(part, start=number * self._chunk_rows + 1):
            values = {name: _value(cell) for name, cell in zip(names, cells, strict=True)}
            unreadable = any(isinstance(cell, bytes | memoryview) for cell in cells)
            problems = ("undecodable_text",) if unreadable else ()
            yield RawRow(number=place, values=values, problems=problems)

    def _row_count(self) -> int:
        if self._rows is None:
            counting = select(func.count()).select_from(self._from)
            with self._translated(self._engine.connect) as connection:
                self._rows = int(self._translated(lambda: connection.scalar(counting)) or 0)
        return self._rows

    def _translated(self, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except _UNREADABLE as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError("the database cannot be read", self._source.name) from None


def _engine(location: str, name: str) -> Engine:
    try:
        url = make_url(location)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, name)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        read_only = url.get_backend_name() == "postgresql"
        options = {"postgresql_readonly": True} if read_only else {}
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, execution_options=options
        )
    except (SQLAlchemyError, ImportError, ValueError):
        raise SourceError("no database URL, or its driver is not installed", name) from None


def _sqlite_engine(url: URL, name: str) -> Engine:
    """Return an engine on an existing file, opened so that nothing can be written to it."""
    path = Path(url.database or "")
    if path.is_symlink() or not path.is_file():
        raise SourceError("not a regular file", name)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False
        )
        connection.text_factory = _text_or_bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _text_or_bytes(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _header(engine: Engine, source: Source) -> list[str]:
    """Return the names of the columns, as the database has them."""
    if source.query is None:
        name, schema = _table(engine, source)
        return [str(one["name"]) for one in inspect(engine).get_columns(name, schema)]
    # The query is the signed policy's own text; what is around it is constant.
    nothing = text(f"SELECT * FROM ({_escaped(source)}) {_DERIVED} WHERE 1 = 0")  # noqa: S608
    with engine.connect() as connection:
        return list(connection.execute(nothing).keys())


def _table(engine: Engine, source: Source) -> tuple[str, str | None]:
    """Return the table and its schema; what the database does not list does not exist."""
    named = source.table
    if named is None:
        raise SourceError("neither a table nor a query is declared", source.name)
    catalogue = inspect(engine)
    if named in (*catalogue.get_table_names(), *catalogue.get_view_names()):
        return named, None
    schema, _, name = named.partition(".")
    if name and schema in catalogue.get_schema_names():
        tables = (*catalogue.get_table_names(schema), *catalogue.get_view_names(schema))
        if name in tables:
            return name, schema
    raise SourceError("the database has no such table", source.name)


def _from(engine: Engine, source: Source, names: Mapping[str, str]) -> FromClause:
    columns = [_column(one) for one in names.values()]
    if source.query is not None:
        return text(_escaped(source)).columns(*columns).subquery(_DERIVED)
    name, schema = _table(engine, source)
    quoted = None if schema is None else quoted_name(schema, quote=True)
    return table(quoted_name(name, quote=True), *columns, schema=quoted)


def _column(name: str) -> ColumnClause[Any]:
    return column(quoted_name(name, quote=True))


def _escaped(source: Source) -> str:
    """Return the query as a derived table may hold it: one SELECT, its colons meaning colons."""
    query = (source.query or "").strip().rstrip(";")
    if not _QUERY.match(query) or ";" in query:
        raise SourceError("the query is not one SELECT", source.name)
    return query.replace(":", "\\:") + "\n"


def _select(origin: FromClause, names: Mapping[str, str], dataset: Dataset) -> Select[Any]:
    key = [name for name in dataset.record_key if name in names] or list(names)[:1]
    chosen = {name: origin.c[column] for name, column in names.items()}
    return select(*chosen.values()).order_by(*(chosen[name] for name in key))


def _value(cell: object) -> RawValue:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes | memoryview):
        return None
    if isinstance(cell, float):
        return NumericCell(text=format(Decimal(repr(cell)), "f"))
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(int(cell)) if isinstance(cell, bool) else str(cell)


def _fed(value: RawValue) -> bytes:
    """Return what a value contributes to the digest; nothing, text and number all differ."""
    if value is None:
        return b"\x00"
    kind, shown = ("n", value.text) if isinstance(value, NumericCell) else ("t", value)
    return f"{kind}{len(shown)}:{shown}".encode("utf-8", "surrogatepass")
