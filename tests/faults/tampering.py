"""What the tests of tampering share: every kind of sealed bytes, and how its place is named."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from house import Site, founded, put_away, take_in
from sqlalchemy import Engine, text
from story import chapters, write_files

from custody.acts.context import Custody
from custody.acts.verify import verify_installation
from custody.database.engine import make_engine
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import UsageError
from custody.identifiers import BATCH, show_id
from custody.keys.root import RootUnavailableError
from custody.ledger import LedgerBrokenError
from custody.seal import SealInvalidError

Named = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of sealed or wrapped bytes: where it lies, and how its place is named."""

    keys: bool = False
    table: str
    column: str
    place: Sequence[str]
    named: Named


def _of_record(level: str) -> Named:
    return lambda row: f"record {row['id']}, compartment {level}"


KINDS = {
    "general": Kind(table="records", column="general", place=["id"], named=_of_record("general")),
    "sensitive": Kind(
        table="records", column="sensitive", place=["id"], named=_of_record("sensitive")
    ),
    "secret": Kind(table="records", column="secret", place=["id"], named=_of_record("secret")),
    "intake": Kind(
        table="intake",
        column="sealed",
        place=["batch_id", "chunk"],
        named=lambda row: f"intake of {show_id(BATCH, row['batch_id'])}, chunk {row['chunk']}",
    ),
    "quarantine": Kind(
        table="quarantine",
        column="sealed",
        place=["batch_id", "row_number"],
        named=lambda r: f"quarantine of {show_id(BATCH, r['batch_id'])}, row {r['row_number']}",
    ),
    "document": Kind(
        table="consents",
        column="document",
        place=["id"],
        named=lambda row: f"document of consent {row['id']}",
    ),
    "location": Kind(
        table="batches",
        column="location",
        place=["id"],
        named=lambda row: f"location of {show_id(BATCH, row['id'])}",
    ),
    "reference": Kind(
        table="identity_tags",
        column="sealed",
        place=["customer_id", "reference"],
        named=lambda row: f"reference {row['reference']} of customer {row['customer_id']}",
    ),
    "data key": Kind(
        keys=True,
        table="data_keys",
        column="wrapped",
        place=["key_id"],
        named=lambda row: f"wrapped key {row['key_id']}",
    ),
    "batch key": Kind(
        keys=True,
        table="batch_keys",
        column="wrapped",
        place=["batch_id", "kind"],
        named=lambda row: f"wrapped {row['kind']} key of batch {row['batch_id']}",
    ),
    "consent key": Kind(
        keys=True,
        table="consent_keys",
        column="wrapped",
        place=["key_id"],
        named=lambda row: f"wrapped consent key {row['key_id']}",
    ),
}


@dataclass
class Opened:
    """A site in the middle of its story, open for the application and for whoever tampers."""

    site: Site
    custody: Custody
    data: Engine
    keys: Engine
    old_rows: Sequence[Mapping[str, Any]]

    def engine(self, kind: Kind) -> Engine:
        """Return the engine of the database the kind lies in, as its owner."""
        return self.keys if kind.keys else self.data


@contextmanager
def told(server: EmbeddedPostgres, folder: Path) -> Iterator[Opened]:
    """Tell the story, but leave a batch in the intake area."""
    files = write_files(folder / "files")
    acts = [act for _, act in chapters(files)]
    with founded(server, folder) as site, site.opened() as custody:
        data, keys = (
            make_engine(site.databases.owner_url),
            make_engine(site.databases.keys_owner_url),
        )
        for act in acts[:2]:
            act(custody)
        put_away(custody, take_in(custody, files["first"].source, files["first"].path))
        with data.connect() as connection:
            old = [dict(row._mapping) for row in connection.execute(text("SELECT * FROM records"))]
        for act in acts[2:]:
            act(custody)
        late = replace(files["contracts"], path=folder / "late.csv")
        text_of = files["contracts"].path.read_bytes()
        late.path.write_bytes(text_of.replace(b"T0", b"T9"))
        take_in(custody, late.source, late.path)
        yield Opened(site=site, custody=custody, data=data, keys=keys, old_rows=old)
        data.dispose()
        keys.dispose()


def rows_of(opened: Opened, kind: Kind) -> list[dict[str, Any]]:
    """Return place and bytes of everything of a kind."""
    columns = ", ".join([*kind.place, kind.column])
    query = f"SELECT {columns} FROM {kind.table} WHERE {kind.column} IS NOT NULL ORDER BY 1, 2"
    with opened.engine(kind).connect() as connection:
        return [dict(row._mapping) for row in connection.execute(text(query))]


def put(opened: Opened, kind: Kind, row: Mapping[str, Any], value: bytes) -> None:
    """Write bytes to a place."""
    where = " AND ".join(f"{name} = :{name}" for name in kind.place)
    statement = f"UPDATE {kind.table} SET {kind.column} = :value WHERE {where}"
    parameters = {name: row[name] for name in kind.place} | {"value": value}
    with opened.engine(kind).begin() as connection:
        assert connection.execute(text(statement), parameters).rowcount == 1


@contextmanager
def holding(
    opened: Opened, kind: Kind, *changes: tuple[Mapping[str, Any], bytes]
) -> Iterator[None]:
    """Let places hold other bytes for a while."""
    for row, value in changes:
        put(opened, kind, row, value)
    try:
        yield
    finally:
        for row, _ in changes:
            put(opened, kind, row, row[kind.column])


def verdict(opened: Opened) -> str:
    """Return what deep verification says, empty when it finds nothing."""
    try:
        verify_installation(opened.custody, deep=True)
    except (LedgerBrokenError, SealInvalidError, RootUnavailableError, UsageError) as error:
        return str(error)
    return ""


def flipped(value: bytes, position: int) -> bytes:
    """Return the bytes with one bit changed at a position."""
    return value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
