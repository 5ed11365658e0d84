"""What `custody doctor` looks at: is everything there, reachable, and set as the design demands?

Every check returns findings; none raises, because the doctor is called when things are broken.
A detail names versions, settings and counts, never a value from a table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from custody.embedded.finding import Finding, Status, unreachable
from custody.embedded.health_databases import examine_databases
from custody.embedded.home import PRIVATE
from custody.embedded.http import ApiUnreachableError, ask
from custody.errors import CustodyError

# ADR 0002: outside these, something fails silently.
PINS: Mapping[str, tuple[str, str]] = {
    "prefect": ("3.8.8", "3.8.9"),
    "sqlalchemy": ("2.0", "2.1"),
    "fastapi": ("0.139", "0.151"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """What is examined; what is None is not there to be examined.

    Attributes:
        home: CUSTODY_HOME.
        database_url: The data database, as the application reaches it.
        keys_url: The key database, as the application reaches it.
        prefect_api_url: Prefect's API.
        prefect_authorization: The header with which it is asked.
        key_file: The file with the root key.
        unknown_variables: CUSTODY_* variables that nothing reads.
        loads: Things that can be loaded (``policy``, ``keystore``), each by a callable that returns
            what to say about it or raises a CustodyError.
    """

    home: Path
    database_url: str | None = None
    keys_url: str | None = None
    prefect_api_url: str | None = None
    prefect_authorization: str = field(default="", repr=False)
    pool: str = "custody"
    key_file: Path | None = None
    unknown_variables: Sequence[str] = ()
    loads: Mapping[str, Callable[[], str]] = field(default_factory=dict)


def examine(patient: Patient) -> list[Finding]:
    """Return all findings, in the order in which to mend them."""
    return [
        *examine_settings(patient.unknown_variables),
        *examine_versions(),
        examine_privacy("home", patient.home, PRIVATE),
        *examine_databases(patient.database_url, patient.keys_url),
        *examine_prefect(patient),
        *examine_key_file(patient.key_file),
        *examine_loads(patient.loads),
    ]


def examine_settings(unknown: Sequence[str]) -> Iterator[Finding]:
    """Name variables that were probably misspelt."""
    for name in unknown:
        yield Finding(
            name="settings",
            status=Status.WARN,
            detail=f"{name} is read by nothing",
            next_step="compare it with docs/settings.md",
        )


def examine_versions() -> Iterator[Finding]:
    """Compare installed packages with the pins whose breach fails silently."""
    for package, (first, before) in PINS.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "0"
        good = _release(first) <= _release(installed) < _release(before)
        yield Finding(
            name=package,
            status=Status.OK if good else Status.FAIL,
            detail=installed,
            next_step="" if good else f"install >= {first}, < {before} (docs/adr/0002-pins.md)",
        )


def examine_privacy(name: str, path: Path, mode: int) -> Finding:
    """Check that a file or folder has exactly the mode that keeps others out."""
    try:
        found = path.stat().st_mode & 0o777
    except OSError:
        return Finding(
            name=name, status=Status.WARN, detail="does not exist yet", next_step="custody init"
        )
    good = found == mode
    return Finding(
        name=name,
        status=Status.OK if good else Status.FAIL,
        detail=f"mode {found:04o}",
        next_step="" if good else f"chmod {mode:04o} {path}",
    )


def examine_key_file(path: Path | None) -> Iterator[Finding]:
    """Check that nobody else can read the root key."""
    if path is not None:
        yield examine_privacy("key file", path, 0o600)


def examine_prefect(patient: Patient) -> Iterator[Finding]:
    """Check that Prefect answers, on which version, and that somebody works for it."""
    if patient.prefect_api_url is None:
        yield Finding(
            name="prefect server", status=Status.WARN, detail="not running", next_step="custody up"
        )
        return
    try:
        release = str(_ask_prefect(patient, "/admin/version"))
    except ApiUnreachableError:
        yield unreachable("prefect server")
        return
    wanted = PINS["prefect"][0]
    good = release == wanted
    yield Finding(
        name="prefect server",
        status=Status.OK if good else Status.WARN,
        detail=release,
        next_step="" if good else f"custody is tested with {wanted}",
    )
    yield _examine_worker(patient)


def examine_loads(loads: Mapping[str, Callable[[], str]]) -> Iterator[Finding]:
    """Load each thing and say what came of it."""
    for name, load in loads.items():
        try:
            yield Finding(name=name, status=Status.OK, detail=load())
        except CustodyError as error:
            yield Finding(
                name=name,
                status=Status.FAIL,
                detail=error.code,
                next_step=f"custody explain {error.code}",
            )


def _examine_worker(patient: Patient) -> Finding:
    try:
        workers = _ask_prefect(patient, f"/work_pools/{patient.pool}/workers/filter", {})
    except ApiUnreachableError:
        workers = []
    online = sum(worker["status"] == "ONLINE" for worker in workers)
    return Finding(
        name="worker",
        status=Status.OK if online else Status.WARN,
        detail=f"{online} online in pool {patient.pool}",
        next_step="" if online else "custody up; without a worker no deployment runs",
    )


def _ask_prefect(patient: Patient, path: str, body: object = None) -> Any:  # noqa: ANN401  (JSON)
    address = patient.prefect_api_url or ""
    return ask(address, path, body, authorization=patient.prefect_authorization)


def _release(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, padded so that 2.1 and 2.1.0 are equal."""
    numbers = [int(part) for part in text.split(".")[:3] if part.isdigit()]
    return (*numbers, 0, 0, 0)[:3]
