"""The whole demo with its root key in a PKCS#11 token; a root destroyed there is gone for ever."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from owners import processes_of, wait_until_none_is_left
from standing_firm import CUSTODY, Document, clean_environment

from custody.keys.token import TokenPlace

pytestmark = pytest.mark.slow
SECONDS = 280


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cus-") as folder:
        yield Path(folder) / "h"
        assert wait_until_none_is_left(Path(folder)) == processes_of(Path(folder)) == {}


@pytest.fixture(scope="module")
def played(home: Path, token: TokenPlace, tmp_path_factory: pytest.TempPathFactory) -> Document:
    pin = tmp_path_factory.mktemp("pin") / "pin"
    pin.write_text(f"{token.pin}\n")
    environment = clean_environment(home) | {
        "CUSTODY_KEY_PROVIDER": "pkcs11",
        "CUSTODY_PKCS11_MODULE": str(token.module),
        "CUSTODY_PKCS11_TOKEN": token.label,
        "CUSTODY_PKCS11_PIN_FILE": str(pin),
        "SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"],
    }
    done = subprocess.run(
        [CUSTODY, "demo", "--json", "--customers", "200"],
        env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def test_all_stages_play_and_everything_verifies(played: Document) -> None:
    stages = played["stages"]
    assert stages["store"]["stored"] == stages["ingest"]["accepted"] > 200
    assert stages["destroy"]["destroyed"] > 0
    assert played["verify"]["ok"]
    assert played["check"]["differences"] == []


def test_the_root_lies_in_the_token_and_nowhere_else(
    played: Document, home: Path, token: TokenPlace
) -> None:
    assert played["verify"]["ok"]
    assert not list(home.rglob("root.key*"))
    roots = labels_in(token)
    assert len(roots) == 1, "the roots before it were destroyed"


def test_without_its_root_nothing_of_the_home_opens(
    played: Document, home: Path, token: TokenPlace, tmp_path: Path
) -> None:
    """The last test of this module: it destroys the root."""
    assert played["verify"]["ok"]
    with session_of(token) as session:
        for one in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}):
            one.destroy()
    pin = tmp_path / "pin"
    pin.write_text(f"{token.pin}\n")
    environment = clean_environment(home) | {
        "CUSTODY_PKCS11_MODULE": str(token.module),
        "CUSTODY_PKCS11_PIN_FILE": str(pin),
        "SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"],
    }
    done = subprocess.run(
        [CUSTODY, "verify", "--json"],
        env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1, (done.stdout[-500:], done.stderr[-500:])
    assert "root" in (done.stdout + done.stderr).lower()


def session_of(token: TokenPlace) -> "pkcs11.Session":
    """Return an open session with the token, as its user."""
    found = pkcs11.lib(str(token.module)).get_token(token_label=token.label)
    return found.open(rw=True, user_pin=token.pin)


def labels_in(token: TokenPlace) -> list[str]:
    """Return the labels of the secret keys in the token."""
    with session_of(token) as session:
        keys = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        return [one.label for one in keys]
