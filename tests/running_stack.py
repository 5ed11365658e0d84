"""One running stack for all tests of flows: PostgreSQL, Prefect's server, and nothing let out.

What PostgreSQL would tidy away is kept (dead rows, WAL), for the leak canary looks at every byte.
Every Python process that is started loads ``guard/sitecustomize.py``, which refuses and notes down
each attempt to reach anything but this machine.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from custody.embedded import processes
from custody.embedded.access import Access, find_access
from custody.embedded.home import Home
from custody.embedded.postgres import EmbeddedPostgres
from custody.embedded.processes import client_environment
from custody.embedded.runtime import Running, Wanted, running

TESTS = Path(__file__).resolve().parent
GUARD = TESTS / "guard"
# Only tests kill processes, never the machine; and nothing is tidied away.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_keep_size": "8GB",
    "max_wal_size": "8GB",
}
_EXTERNAL = """
    SELECT format('ALTER TABLE %I.%I ALTER COLUMN %I SET STORAGE EXTERNAL', n.nspname, c.relname,
                  a.attname)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attstorage IN ('x', 'm') AND n.nspname IN ('public', 'custody')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """What is running, and where."""

    folder: Path
    where: Running
    postgres: EmbeddedPostgres

    @property
    def home(self) -> Path:
        return self.postgres.home.path

    @property
    def api_url(self) -> str:
        return str(self.where.prefect_api_url)

    @property
    def access(self) -> Access:
        access = find_access(Home.open(self.home))
        assert access is not None
        return access

    @property
    def attempts(self) -> Path:
        """The file in which the guard notes what tried to leave this machine."""
        return self.folder / "attempts"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a process that runs flows."""
        client = client_environment(os.environ, api_url=self.api_url, home=Home.open(self.home))
        paths = (GUARD, TESTS, TESTS / "flows", TESTS / "database", TESTS.parent)
        return {
            **client,
            "CUSTODY_HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "GUARD_FILE": str(self.attempts),
            **more,
        }

    def admin(self, database: str) -> psycopg.Connection:
        """Return a superuser's connection."""
        return psycopg.connect(self.postgres.admin_conninfo(database), autocommit=True)

    def keep_uncompressed(self, database: str) -> None:
        """Let no value of a database be compressed, where a search could not see it."""
        with self.admin(database) as connection:
            for (statement,) in connection.execute(_EXTERNAL).fetchall():
                connection.execute(statement)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python program beside the stack."""
        return subprocess.Popen(
            [sys.executable, *command],
            env=self.environment(**environment),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program beside the stack and return what it says."""
        return subprocess.run(
            [sys.executable, *command],
            env=self.environment(**environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Return the session's stack."""
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    change = pytest.MonkeyPatch()
    # custody keeps PYTHONPATH from its processes; here it brings the guard.
    kept = tuple(name for name in processes.UNWANTED if name != "PYTHONPATH")
    change.setattr(processes, "UNWANTED", kept)
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "GUARD_FILE": str(folder / "attempts")}
    wanted = Wanted(home=folder / "home", environment=environment)
    try:
        with (
            EmbeddedPostgres(wanted.home, settings=SETTINGS) as postgres,
            running(wanted, prefect=True) as where,
        ):
            made = Stack(folder=folder, where=where, postgres=postgres)
            made.keep_uncompressed("prefect")
            yield made
    finally:
        change.undo()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def in_this_process(stack: Stack, variables: Mapping[str, str]) -> Iterator[Callable[[], object]]:
    """Let this process run flows on the stack, with its own installation, for a block.

    Args:
        variables: The CUSTODY_* variables of the installation.
    """
    from prefect.flow_engine import FlowRunEngine  # noqa: PLC0415
    from prefect.settings import (  # noqa: PLC0415
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_HOME,
        temporary_settings,
    )

    from config.installation import open_installation  # noqa: PLC0415
    from custody.cli.prefect_process import drain  # noqa: PLC0415
    from tasks.context import custody  # noqa: PLC0415

    change = pytest.MonkeyPatch()
    for name, value in {**variables, "PREFECT_API_URL": stack.api_url}.items():
        change.setenv(name, value)
    # The end of a run waits a second for its heartbeat.
    change.setattr(FlowRunEngine, "heartbeat_seconds", None)
    client = {
        PREFECT_API_URL: stack.api_url,
        PREFECT_API_AUTH_STRING: stack.access.password,
        PREFECT_HOME: Home.open(stack.home).prefect,
    }
    open_installation.cache_clear()
    custody.cache_clear()
    try:
        with temporary_settings(client):
            try:
                yield custody
            finally:
                drain()  # while the server still takes what Prefect wants to tell it
    finally:
        open_installation.cache_clear()
        custody.cache_clear()
        change.undo()
