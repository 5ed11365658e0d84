"""What all tests share: one PostgreSQL, a fresh copy of both databases per test, outside programs.

Unit tests import neither Prefect nor Great Expectations, so nothing here may import them either.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from own_databases import (
    TEMPLATE_DATA,
    TEMPLATE_KEYS,
    Databases,
    create_database,
    drop_databases,
    urls_of,
)
from running_stack import stack as stack  # noqa: PLC0414 - a fixture of all tests

from custody.embedded.endpoints import Role
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys.token import TokenPlace

ROOT = Path(__file__).resolve().parents[1]
REQUIRE = "CUSTODY_TEST_REQUIRE"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
ON_THE_STACK = {
    "acceptance/test_chinook.py",
    "acceptance/test_invented_dataset.py",
    "acceptance/test_two_workers.py",
}
# Tests kill processes, never the machine, so nothing need be flushed to the disk.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def is_required(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a missing ``name`` is a failure here (``CUSTODY_TEST_REQUIRE``)."""
    required = {part.strip() for part in environment.get(REQUIRE, "").split(",")}
    return bool({"all", name} & required)


def skip_for_want_of(name: str, why: str) -> None:
    """Skip the test and name what is missing, or fail it where that must not be missing."""
    if is_required(name):
        pytest.fail(f"{name}: {why}, and {REQUIRE} asks for it", pytrace=False)
    pytest.skip(f"{name}: {why}")


def pytest_configure() -> None:
    """Let Ctrl-C and hang-ups reach what tests start, also where the tests run in the background.

    There a shell or nohup has them ignored, and every process inherits that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share the tests out between processes, keeping together what shares servers.

    The plugin's own way, marks, does not work with this pytest: it renames the tests by an
    attribute that is no longer looked at.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - not without the plugin

    class Companies(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return company_of(nodeid)

    return Companies(config, log)


def company_of(nodeid: str) -> str:
    """Return which tests go together: those on one stack, those on one firm, or a module's."""
    module = nodeid.partition("::")[0].removeprefix("tests/")
    folder = module.partition("/")[0]
    if folder == "flows" or module in ON_THE_STACK:
        return "stack"
    if folder == "acceptance" and module != "acceptance/test_newcomer.py":
        return folder
    return module


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], Path]:
    """Return a function that gives a program's path, or skips the test by the program's name."""

    def require(name: str) -> Path:
        found = shutil.which(name)
        if found is None:
            skip_for_want_of(name, "not installed")
        return Path(str(found))

    return require


@pytest.fixture(scope="session")
def chinook() -> Path:
    """Return the folder of the Chinook database, or skip by its name."""
    folder = Path(os.environ.get("CUSTODY_CHINOOK", ROOT.parent / "shared" / "data" / "chinook"))
    if not (folder / "Chinook_Sqlite.sqlite").exists():
        skip_for_want_of("chinook", "CUSTODY_CHINOOK names no folder with it")
    return folder


@pytest.fixture(scope="session")
def token(require_program: Callable[[str], Path], tmp_path_factory: object) -> TokenPlace:
    """Return a SoftHSM token of this process's own."""
    tool = require_program("softhsm2-util")
    folder = tmp_path_factory.mktemp("token")  # type: ignore[attr-defined]
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    # The library reads it when it is loaded, once per process.
    os.environ["SOFTHSM2_CONF"] = str(settings)
    place = TokenPlace(module=SOFTHSM, label="custody", pin="271828")
    made = (
        "--init-token",
        "--free",
        "--label",
        place.label,
        "--pin",
        place.pin,
        "--so-pin",
        "31415",
    )
    subprocess.run([tool, *made], check=True, capture_output=True)
    return place


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """Return an empty private folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Return the session's own embedded PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    try:
        with EmbeddedPostgres(folder, settings=FAST) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _templates(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """Migrate one pair of databases, which every test then copies."""
    from custody.database.migrate import migrate  # noqa: PLC0415  (alembic only where it is used)

    for name in (TEMPLATE_DATA, TEMPLATE_KEYS):
        create_database(postgres, name, "template0")
    where = postgres.endpoints
    migrate(where.url(Role.OWNER, TEMPLATE_DATA), where.url(Role.OWNER, TEMPLATE_KEYS))
    return postgres


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def databases(_templates: EmbeddedPostgres, _numbers: Iterator[int]) -> Iterator[Databases]:
    """Return a migrated, empty data and key database of the test's own."""
    number = next(_numbers)
    data, keys = f"data_{number}", f"keys_{number}"
    create_database(_templates, data, TEMPLATE_DATA)
    create_database(_templates, keys, TEMPLATE_KEYS)
    yield urls_of(_templates.endpoints, data, keys)
    drop_databases(_templates, data, keys)


@pytest.fixture
def bare_databases(postgres: EmbeddedPostgres, _numbers: Iterator[int]) -> Iterator[Databases]:
    """Return an empty pair of databases that is not migrated yet."""
    number = next(_numbers)
    data, keys = f"bare_data_{number}", f"bare_keys_{number}"
    for name in (data, keys):
        create_database(postgres, name, "template0")
    yield urls_of(postgres.endpoints, data, keys)
    drop_databases(postgres, data, keys)
