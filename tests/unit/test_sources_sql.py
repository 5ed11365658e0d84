"""SQL: tables and queries of SQLite, names made to hurt, and what errors must not say."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small_catalogue import SHANGHAI, customers, field
from source_values import rows_of, source

from custody.normalise import normalise_rows
from custody.policy.model import Dataset, FieldType
from custody.rows import NumericCell
from custody.sources import Reader, SourceError, open_source


def database(folder: Path, *statements: str) -> Path:
    """Return a SQLite file made by ``statements``."""
    place = folder / "legacy.db"
    with closing(sqlite3.connect(place)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return place


def opened(location: str | Path, chunk_rows: int = 2, **changes: object) -> Reader:
    """Open a table or query of customers."""
    url = f"sqlite:///{location}" if isinstance(location, Path) else location
    return open_source(
        source("sql", **changes),
        location=url,
        dataset=customers(),
        chunk_rows=chunk_rows,
        environment={},
    )


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    """Return a database with five customers, inserted out of order."""
    return database(
        tmp_path,
        "CREATE TABLE clients (客户号 INTEGER, name TEXT, mobile, birth_on DATETIME, junk)",
        *(
            f"INSERT INTO clients VALUES ({n}, '王{n}', 1.5, '1949-12-3{n % 2}', 'x')"
            for n in (3, 1, 5, 2, 4)
        ),
    )


def test_a_table_is_read_in_the_order_of_its_record_key(legacy: Path) -> None:
    reader = opened(legacy, table="clients")
    assert reader.fields == {"customer_no", "name", "mobile", "birth_on"}
    assert (reader.unknown_columns, reader.chunk_count) == (1, 3)
    found = rows_of(reader)
    assert [row.number for row in found] == [1, 2, 3, 4, 5]
    assert [row.values["customer_no"] for row in found] == ["1", "2", "3", "4", "5"]
    assert found[0].values["mobile"] == NumericCell(text="1.5")
    assert found[0].values["birth_on"] == "1949-12-31"


def test_any_chunk_is_read_without_those_before_it(legacy: Path) -> None:
    with opened(legacy, table="clients") as reader:
        whole = list(reader.chunks())
        for number in (2, 0, 1):
            assert list(reader.chunks(number, number)) == [whole[number]]
        assert list(reader.chunks(1)) == whole[1:]
        assert [span.rows for span in reader.spans()] == [2, 2, 1]


def test_a_query_is_read_with_its_colons_percents_and_comments(legacy: Path) -> None:
    query = """SELECT CAST("客户号" AS TEXT) AS customer_no, name || ':x %s ' || '100%' AS name
      FROM clients WHERE name <> ':nobody' ORDER BY 1 DESC -- a comment"""
    found = rows_of(opened(legacy, query=query))
    assert [row.values["customer_no"] for row in found] == ["1", "2", "3", "4", "5"]
    assert found[0].values["name"] == "王1:x %s 100%"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM clients",
        "SELECT 1 AS customer_no; DROP TABLE clients",
        "PRAGMA writable_schema = 1",
        "SELECT 1 AS customer_no) x; --",
        "WITH x AS (SELECT 1) DELETE FROM clients",
        "SELECT no_such_column AS customer_no FROM clients",
        "ATTACH 'other' AS other",
    ],
)
def test_a_query_that_is_not_one_select_is_refused_and_changes_nothing(
    legacy: Path, query: str
) -> None:
    before = legacy.read_bytes()
    with pytest.raises(SourceError):
        rows_of(opened(legacy, query=query))
    assert legacy.read_bytes() == before


@pytest.mark.parametrize("table", ["absent", "sqlite_sequence", "clients; --", "main.absent", ""])
def test_a_table_the_database_does_not_list_does_not_exist(legacy: Path, table: str) -> None:
    with pytest.raises(SourceError, match="no such table"):
        opened(legacy, table=table)


def test_a_table_may_be_named_with_its_schema(legacy: Path) -> None:
    assert len(rows_of(opened(legacy, table="main.clients"))) == 5


def hostile_names() -> list[str]:
    """Return two hundred names that break whatever pastes them into SQL."""
    parts = [
        '"', "'", "`", "]", ";", "--", "/*", "*/", ")", "(", " ", ":x", "%s", "%(x)s", "?", "\\",
        "\n", "\t", "select", "drop table clients", "客户", "\u202e", "é", "${HOME}", "{0}", "a.b",
        "$1", "@x", "#", "=1 or 1=1",
    ]  # fmt: skip
    pairs = [f"{one}{other}" for one in parts for other in parts]
    return [f"t{name}" for name in (*parts, *pairs)][:200]


def test_two_hundred_hostile_names_of_tables_and_columns_are_only_names(tmp_path: Path) -> None:
    names = hostile_names()
    quoted = [name.replace('"', '""') for name in names]
    place = database(
        tmp_path,
        "CREATE TABLE clients (id)",
        "INSERT INTO clients VALUES (1)",
        *(f'CREATE TABLE "{n} {k}" ("{n}", "客户号")' for k, n in enumerate(quoted)),
        *(f"INSERT INTO \"{n} {k}\" VALUES ('{k}', '1')" for k, n in enumerate(quoted)),
    )
    for number, name in enumerate(names):
        reader = opened(place, table=f"{name} {number}", columns={name: "name"})
        (row,) = rows_of(reader)
        assert (row.values["customer_no"], row.values["name"]) == ("1", str(number)), name
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (1,)


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://wang:geheim@127.0.0.1:1/crm",
        "postgresql+psycopg://wang:geheim@127.0.0.1:1/crm",
        "nosuchdriver://wang:geheim@host/crm",
        "oracle://wang:geheim@host/crm",
        "wang:geheim",
        "sqlite:////nowhere/geheim.db",
        "sqlite://",
        "sqlite:///:memory:",
        "",
    ],
)
def test_an_error_never_holds_the_connection(location: str) -> None:
    with pytest.raises(SourceError) as caught:
        opened(location, table="clients")
    told = str(caught.value) + repr(caught.value.args) + repr(caught.value.__cause__)
    assert "geheim" not in told
    assert "wang" not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_link_to_a_database_is_refused_and_the_database_is_not_written(
    legacy: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(legacy)
    with pytest.raises(SourceError):
        opened(link, table="clients")
    before = legacy.stat().st_mtime_ns
    rows_of(opened(legacy, table="clients"))
    assert legacy.stat().st_mtime_ns == before


def test_text_that_is_no_text_is_a_problem_of_its_row(tmp_path: Path) -> None:
    place = database(
        tmp_path,
        "CREATE TABLE clients (customer_no TEXT, name TEXT)",
        "INSERT INTO clients VALUES ('1', CAST(x'CDF5' AS TEXT)), ('2', x'00'), ('3', 'c')",
    )
    found = rows_of(opened(place, table="clients"))
    assert [row.problems for row in found] == [("undecodable_text",), ("undecodable_text",), ()]


def test_a_damaged_database_is_refused(tmp_path: Path, legacy: Path) -> None:
    content = bytearray(legacy.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    place = tmp_path / "damaged.db"
    for damaged in (bytes(content), b"not a database at all" * 100, b""):
        place.write_bytes(damaged)
        with pytest.raises(SourceError):
            rows_of(opened(place, table="clients"))


def test_the_digest_follows_the_values_and_not_the_place(legacy: Path) -> None:
    def digest() -> bytes:
        fed: list[bytes] = []
        with opened(legacy, table="clients") as reader:
            reader.digest(fed.append)
        return b"".join(fed)

    before = digest()
    assert digest() == before
    with closing(sqlite3.connect(legacy)) as connection, connection:
        connection.execute("UPDATE clients SET name = '李' WHERE 客户号 = 4")
    assert digest() != before


def invoices() -> Dataset:
    """Return a dataset of transactions as the Chinook invoices fill it."""
    return Dataset(
        name="transactions",
        title={"zh": "交易", "en": "Transactions"},
        creates_customer=False,
        record_key=("transaction_no",),
        references=(),
        fields=(
            field("transaction_no", 1, aliases=("InvoiceId",)),
            field("customer_no", 2, aliases=("CustomerId",)),
            field("occurred_on", 3, type=FieldType.DATE, aliases=("InvoiceDate",)),
            field("amount", 5, type=FieldType.DECIMAL, aliases=("Total",)),
            field("billing_address", 8, aliases=("BillingAddress",)),
        ),
    )


def test_chinook_is_read_as_its_own_sql_says(chinook: Path) -> None:
    place = chinook / "Chinook_Sqlite.sqlite"
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
        (count, total) = connection.execute(
            "SELECT count(*), sum(CAST(Total * 100 + 0.5 AS INTEGER)) FROM Invoice"
        ).fetchone()
    reader = open_source(
        source("sql", table="Invoice", dataset="transactions"),
        location=f"sqlite:///{place}",
        dataset=invoices(),
        chunk_rows=100,
        environment={},
    )
    found = normalise_rows(invoices(), rows_of(reader), SHANGHAI)
    assert len(found) == count == 412
    assert not any(row.problems or row.row_problems for row in found)
    amounts = [row.values["amount"] for row in found]
    assert sum(int(one * 100) for one in amounts) == total  # type: ignore[operator,arg-type]
