"""``custody up`` and ``down``: databases, Prefect's server and a worker, while they are wanted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.output import note, show, wait_until
from custody.cli.resident import Resident
from custody.cli.session import announce, installation, load_settings
from custody.cli.starting import migrate_databases
from custody.errors import CustodyError, UsageError

if TYPE_CHECKING:
    from config.settings import Settings
    from custody.embedded.home import Home
    from custody.embedded.runtime import Running

_UP: Final = "up"
_LOCK: Final = "up.lock"
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 90.0
_WATCH_SECONDS: Final = 0.5


class NotUpError(CustodyError):
    """The detached servers did not come up, or did not go down."""

    code = "fault"

    def __str__(self) -> str:
        """Return where to look."""
        return f"custody up: {self.args[0]}; see log/up.log in CUSTODY_HOME"


def up(
    *,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="No worker here; others take the runs.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is up; custody down stops it.")
    ] = False,
) -> None:
    """Start everything, deploy the flows, stay until Ctrl-C.

    It also gives the ledger's entries their places and keeps a checkpoint every minute. When a
    process it started ends by itself, or the ledger contradicts a checkpoint, all of it stops, with
    exit code 1.
    """
    settings = load_settings()
    if detach:
        _detach(settings, no_worker=no_worker)
    else:
        _stay(settings, no_worker=no_worker)


def down() -> None:
    """Stop what `custody up --detach` started.

    Running it again is success.
    """
    from custody.embedded.locks import is_held

    settings = load_settings()
    if not _is_up(settings):
        show({"state": "down"}, "down_already")
        return
    os.kill(int(_pid_file(settings).read_text(encoding="ascii")), signal.SIGTERM)
    if not wait_until(lambda: not is_held(_lock_file(settings)), _STOP_SECONDS):
        raise NotUpError("it does not stop")
    show({"state": "down"}, "is_down")


def _stay(settings: "Settings", *, no_worker: bool) -> None:
    from custody.cli.deploying import begin_deploying, finish_deploying
    from custody.cli.prefect_process import as_prefect_client
    from custody.embedded.home import Home, write_private

    home = Home.open(settings.home)
    note("starting_up")
    with _alone(home.run), as_prefect_client(settings, worker=not no_worker) as where:
        migrate_databases(where)
        if no_worker:
            _make_pool(str(where.prefect_api_url), settings)
        finish_deploying(begin_deploying(settings, where))
        _announce_what_waits(settings, where)
        write_private(_pid_file(settings), str(os.getpid()))
        try:
            show(_address(home, str(where.prefect_api_url)), "is_up")
            sys.stdout.flush()
            _watch(settings, where)
        finally:
            _pid_file(settings).unlink(missing_ok=True)


def _watch(settings: "Settings", where: "Running") -> None:
    """Keep the ledger's tree up to date for as long as all that was started is alive."""
    with Resident(settings, where) as resident:
        while True:
            time.sleep(_WATCH_SECONDS)
            for service in where.services:
                service.require_alive()
            resident.tick()


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Be the one ``custody up`` of this home for the length of a block.

    Raises:
        UsageError: There is another.
    """
    from custody.embedded.locks import open_lock, try_lock

    descriptor = open_lock(run / _LOCK)
    try:
        if not try_lock(descriptor):
            raise UsageError("custody up runs in this home already")
        yield
    finally:
        os.close(descriptor)


def _announce_what_waits(settings: "Settings", where: "Running") -> None:
    """Emit the events of requests that were filed or approved while Prefect was not there."""
    from custody.acts.setup import NotInitialisedError

    try:
        with installation(settings, where) as custody:
            announce(custody)
    except NotInitialisedError:
        note("not_initialised")


def _detach(settings: "Settings", *, no_worker: bool) -> None:
    """Run ``custody up`` in a session of its own and return once everything answers."""
    from custody.cli.session import reachable_prefect
    from custody.embedded.home import Home

    home = Home.open(settings.home)
    if not _is_up(settings):
        options = ("--no-worker",) if no_worker else ()
        with home.log(_UP).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - ourselves
                (sys.executable, "-m", "custody.cli.main", _UP, *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "CUSTODY_HOME": str(settings.home)},
            )
        come = wait_until(lambda: _is_up(settings) or child.poll() is not None, _START_SECONDS)
        if not come or child.poll() is not None:
            raise NotUpError("it did not come up")
    show(_address(home, reachable_prefect(settings) or ""), "is_up_detached")


def _address(home: "Home", api_url: str) -> dict[str, object]:
    """Return where the UI is, and the file with the password it asks for where it is our own."""
    from custody.embedded.access import own_access, password_file

    ours = own_access(home, api_url) is not None
    return {
        "ui": api_url.removesuffix("/api"),
        "password_file": password_file(home) if ours else None,
        "api": api_url,
        "home": home.path,
    }


def _make_pool(api_url: str, settings: "Settings") -> None:
    """Make the work pool that the deployments name; a worker makes it itself."""
    from custody.embedded.home import Home
    from custody.embedded.processes import client_environment
    from custody.embedded.worker import POOL

    home = Home.open(settings.home)
    command = ("work-pool", "create", POOL, "--type", "process", "--overwrite")
    with home.log("deploy").open("ab") as log:
        made = subprocess.run(  # noqa: S603 - our own interpreter
            (sys.executable, "-m", "prefect", *command),
            env=client_environment(os.environ, api_url=api_url, home=home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    if made.returncode != 0:
        raise NotUpError("the work pool could not be made")


def _is_up(settings: "Settings") -> bool:
    """Whether a ``custody up`` of this home has everything running; its lock cannot be stale."""
    from custody.embedded.locks import is_held

    return _pid_file(settings).exists() and is_held(_lock_file(settings))


def _pid_file(settings: "Settings") -> Path:
    return settings.home / "run" / f"{_UP}.pid"


def _lock_file(settings: "Settings") -> Path:
    return settings.home / "run" / _LOCK
