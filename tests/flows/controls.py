"""What the sweep must find: marks put on purpose where customers' values must not be."""

import base64
import gzip
import os
import sys
from pathlib import Path

import psycopg
from markers import PLANTED
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from running_stack import Stack

TEXT = f"客户{PLANTED.hanzi}先生{PLANTED.digits}"
DATABASE = "controls"
# Where each must be found: a part of the place's name, and the form.
EXPECTED = {
    "flow parameter": ("prefect.flow_run ", "utf-8"),
    "log line": ("prefect.log ", "utf-8"),
    "artifact": ("prefect.artifact ", "utf-8"),
    "event": ("prefect.events ", "utf-8"),
    "state's message": ("prefect.flow_run_state ", "utf-8"),
    "pickled result": ("prefect/storage", "base64"),
    "standard error": ("driver.err", "utf-8"),
    "gzip in base64": ("planted/gzip", "utf-8"),
    "GB18030": ("planted/gb18030", "gb18030"),
    "UTF-16": ("planted/utf16", "utf-16-le"),
    "hexadecimal": ("planted/hex", "hex"),
    "name of a file": ("name of planted", "utf-8"),
    "temporary file": ("tmp/planted", "utf-8"),
    "deleted plaintext column": ("data/base", "utf-8"),
    "write-ahead log": ("data/pg_wal", "utf-8"),
    "statistics": ("controls.pg_stats ", "utf-8"),
    "compressed column": ("controls.public.plain ", "utf-8"),
    "server's log": ("log/postgres.log", "utf-8"),
}


@flow(name="planted", persist_result=True, result_serializer="pickle")
def planted(text: str) -> dict[str, str]:
    """Do everything that a flow of custody must not do."""
    get_run_logger().info("read %s", text)
    create_markdown_artifact(text, key="planted")
    emit_event(event="planted", resource={"prefect.resource.id": "planted"}, payload={"a": text})
    return {"name": text}


@flow(name="planted-failure")
def planted_failure(text: str) -> None:
    raise ValueError(text)


def plant(home: Path) -> None:
    """Plant what a process of custody's could leave behind."""
    planted(TEXT)
    planted_failure(TEXT, return_state=True)
    print(TEXT, file=sys.stderr)  # noqa: T201
    folder = home / "run" / "planted"
    folder.mkdir()
    (folder / "gzip").write_bytes(base64.b64encode(gzip.compress((TEXT * 3).encode())))
    (folder / "gb18030").write_bytes(TEXT.encode("gb18030"))
    (folder / "utf16").write_bytes(TEXT.encode("utf-16"))
    (folder / "hex").write_text(TEXT.encode().hex())
    (folder / f"{TEXT}.csv").touch()
    (Path(os.environ["TMPDIR"]) / "planted").write_text(TEXT, encoding="utf-8")


def plant_in_postgres(stack: Stack) -> None:
    """Plant what a careless schema, a careless statement and a careless setting would leave."""
    with stack.admin("postgres") as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with stack.admin(DATABASE) as connection:
        connection.execute("CREATE TABLE plain (name text, long text)")
        rows = [(TEXT, TEXT * 500)] * 20
        with psycopg.ClientCursor(connection) as cursor:
            cursor.executemany("INSERT INTO plain VALUES (%s, %s)", rows)
        connection.execute("ANALYZE plain")
        connection.execute("DELETE FROM plain WHERE ctid > '(0,3)'")
        connection.execute(f"DO $$ BEGIN RAISE LOG '%', '{TEXT}'; END $$")
