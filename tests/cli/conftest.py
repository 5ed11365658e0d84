"""An initialised installation for each module of tests here, with Prefect's server running."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_firm import WORDS, Firm
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)
from small_firm import consents_csv, customers_csv

from config.installation import open_installation
from config.settings import load_settings, wanted
from custody.embedded.access import find_access
from custody.embedded.home import Home
from custody.embedded.runtime import running
from tasks import context


@pytest.fixture(scope="module")
def firm() -> Iterator[Firm]:
    """Return an installation of real people (invented for the test), with two officers."""
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    # Behind whatever the commands leave open until the process ends.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch, _prefect_in(folder, patch):
        firm = Firm(home=folder / "h", files=folder / "files")
        officers = ("--officer", "孙:合规部", "--officer", "李:合规部")
        firm.do("init", *officers)
        firm.files.mkdir()
        (firm.files / "consents.csv").write_text(consents_csv(), encoding="utf-8")
        (firm.files / "customers.csv").write_bytes(customers_csv().encode("gb18030"))
        yield firm


@contextlib.contextmanager
def _prefect_in(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the servers running for a block, and this process talking to them."""
    words = folder / "words"
    words.write_text(WORDS + "\n", encoding="utf-8")
    for name in ("CUSTODY_PERSON_PASSPHRASE_FILE", "CUSTODY_OFFICER_PASSPHRASE_FILE"):
        patch.setenv(name, str(words))
    patch.setenv("CUSTODY_HOME", str(folder / "h"))
    patch.delenv("CUSTODY_LOCALE", raising=False)
    patch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with running(wanted(load_settings()), prefect=True) as where:
        access = find_access(Home.open(folder / "h"))
        assert access is not None
        assert access.api_url == where.prefect_api_url
        patch.setenv("PREFECT_API_URL", access.api_url)
        open_installation.cache_clear()
        context.custody.cache_clear()
        client = {
            PREFECT_API_URL: access.api_url,
            PREFECT_API_AUTH_STRING: access.password,
            PREFECT_HOME: Home.open(folder / "h").prefect,
        }
        with temporary_settings(client):
            yield
        open_installation.cache_clear()
        context.custody.cache_clear()
    os.environ.pop("PREFECT_API_URL", None)
