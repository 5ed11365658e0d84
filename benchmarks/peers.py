"""What others do with the same rows: plaintext COPY, SQLAlchemy-Utils, pgcrypto.

None of them checks anything, asks for consent, finds out whose a row is, or can destroy a key. The
same rows go into tables of the same twelve columns, with a primary key and two indexes.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from signal import SIGINT
from typing import Final

import psycopg
from sqlalchemy import Column, MetaData, Table, Text, create_engine
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesEngine

from benchmarks.ground import Ground
from benchmarks.legacy import COLUMNS, rows_of
from benchmarks.measure import Cost, Meter
from custody.demo.rows import Row
from custody.embedded import binaries
from custody.embedded.launch import command

SEALED: Final = ("resident_id", "mobile", "email", "address", "bank_card")
_TYPES: Final = {
    "birth_on": "date",
    "registered_on": "date",
    "collected_at": "timestamptz",
}
_INDEXED: Final = ("resident_id", "mobile")
_BLOCK: Final = 1 << 16
_SYSTEM: Final = Path("/usr/lib/postgresql")
_SHARED: Final = Path("/usr/share/postgresql")
_SECONDS_TO_START: Final = 30


def plain_copy(ground: Ground, customers: int) -> Cost:
    """Measure text COPY of the rows in clear: the limit of what a load can be."""
    lines = (
        "\t".join(value or "\\N" for value in row.values()) + "\n"
        for row in rows_of(ground, 0, customers)
    )
    data = "".join(lines).encode()

    def copy() -> None:
        with psycopg.connect(ground.owner_url) as connection:
            connection.execute("DROP TABLE IF EXISTS custody.plain")
            connection.execute(f"CREATE TABLE custody.plain ({_columns()})")
            for name in _INDEXED:
                connection.execute(f"CREATE INDEX ON custody.plain ({name})")
            with connection.cursor().copy("COPY custody.plain FROM STDIN") as into:
                for start in range(0, len(data), _BLOCK):
                    into.write(data[start : start + _BLOCK])

    cost = ground.meter.measure(copy)
    with psycopg.connect(ground.owner_url) as connection:
        connection.execute("DROP TABLE custody.plain")
    return cost


def sqlalchemy_utils(ground: Ground, customers: int) -> Cost:
    """Measure SQLAlchemy-Utils' encrypted columns on five fields, AES-256, written in bulk."""
    sealed = StringEncryptedType(Text, token_hex(16), AesEngine, "pkcs5")
    engine = create_engine(ground.postgres.endpoints.owner_url)
    table = Table(
        "utils",
        MetaData(schema="custody"),
        *(
            Column(
                name,
                sealed if name in SEALED else Text,
                primary_key=name == "customer_no",
                index=name in _INDEXED,
            )
            for name in COLUMNS
        ),
    )
    rows = [dict(row) for row in rows_of(ground, 0, customers)]

    def write() -> None:
        with engine.begin() as connection:
            for start in range(0, len(rows), 1000):
                connection.execute(table.insert(), rows[start : start + 1000])

    table.create(engine)
    cost = ground.meter.measure(write)
    table.drop(engine)
    engine.dispose()
    return cost


def pgcrypto(ground: Ground, customers: int) -> Cost | None:
    """Measure pgcrypto's pgp_sym_encrypt on five fields; None where no system server has it."""
    programs = _with_pgcrypto()
    if programs is None:
        return None
    rows = list(rows_of(ground, 0, customers))
    with _system_server(programs) as (conninfo, meter):
        return meter.measure(lambda: _write_with_pgcrypto(conninfo, rows))


def _write_with_pgcrypto(conninfo: str, rows: Sequence[Row]) -> None:
    kinds = {name: "bytea" if name in SEALED else "text" for name in COLUMNS}
    places = ", ".join(
        f"pgp_sym_encrypt(%({name})s, %(key)s)" if name in SEALED else f"%({name})s"
        for name in COLUMNS
    )
    key = token_hex(16)
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE EXTENSION pgcrypto")
        made = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        connection.execute(f"CREATE TABLE p ({made}, PRIMARY KEY (customer_no))")
        for name in _INDEXED:
            connection.execute(f"CREATE INDEX ON p ({name})")
        statement = f"INSERT INTO p VALUES ({places})"  # noqa: S608 - names of our own
        with connection.cursor() as cursor:
            cursor.executemany(statement, [{**row, "key": key} for row in rows])


def _columns() -> str:
    return ", ".join(
        f"{name} {_TYPES.get(name, 'text')}{' PRIMARY KEY' if name == 'customer_no' else ''}"
        for name in COLUMNS
    )


def _with_pgcrypto() -> Path | None:
    """Return the programs of the newest system PostgreSQL that has the extension."""
    having = [
        one
        for one in _SYSTEM.glob("*/bin")
        if (_SHARED / one.parent.name / "extension" / "pgcrypto.control").exists()
        and (one / "initdb").exists()
    ]
    return max(having, key=lambda one: float(one.parent.name), default=None)


@contextmanager
def _system_server(programs: Path) -> Iterator[tuple[str, Meter]]:
    """Run a system PostgreSQL in a private folder for a while; nobody else can reach it."""
    identity = binaries.choose_identity()
    with tempfile.TemporaryDirectory(prefix="cus-pg-") as folder:
        data = Path(folder) / "data"
        making = command(
            identity, SIGINT, str(programs / "initdb"), f"--pgdata={data}", "--username=bench",
            "--auth=trust", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        subprocess.run(making, check=True, capture_output=True, env=binaries.ENVIRONMENT)  # noqa: S603
        serving = command(
            identity, SIGINT, str(programs / "postgres"), "-D", str(data), "-c",
            "listen_addresses=", "-c", f"unix_socket_directories={folder}",
        )  # fmt: skip
        server = subprocess.Popen(  # noqa: S603 - a fixed program
            serving, env=binaries.ENVIRONMENT, stderr=subprocess.DEVNULL
        )
        try:
            conninfo = f"host={folder} user=bench dbname=postgres"
            _wait(conninfo)
            yield conninfo, Meter(data)
        finally:
            server.send_signal(SIGINT)
            server.wait()


def _wait(conninfo: str) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
