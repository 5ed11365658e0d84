"""From the settings of this process to an open installation, and to Prefect where a flow runs."""

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from custody.cli.manner import manner
from custody.cli.output import note

if TYPE_CHECKING:
    from config.settings import Settings
    from custody.acts.context import Actor, Custody
    from custody.embedded.runtime import Running

# Prefect reads this when it is imported; what people must know custody tells them itself.
_CONSOLE: Final = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
_SENDERS: Final = ("EventsWorker", "APILogWorker")


def load_settings() -> "Settings":
    """Return the settings of this process."""
    from config.settings import load_settings as load

    return load()


@contextmanager
def servers() -> Iterator[tuple["Settings", "Running"]]:
    """Have the databases running; what this command started itself stops behind it."""
    from config.settings import wanted
    from custody.embedded.runtime import running

    settings = load_settings()
    with running(wanted(settings)) as where:
        yield settings, where


@contextmanager
def opened(*, to_look: bool = False) -> Iterator["Custody"]:
    """Open the installation for a command that runs no flow; see :func:`installation`."""
    require_begun(load_settings())
    with servers() as (settings, where), installation(settings, where, to_look=to_look) as custody:
        yield custody


@contextmanager
def opened_with_prefect(*, to_look: bool = False) -> Iterator["Custody"]:
    """Open the installation for a command that runs a flow in this process, or asks Prefect."""
    from custody.cli.prefect_process import as_prefect_client

    settings = load_settings()
    require_begun(settings)
    _hush_prefect()
    with (
        as_prefect_client(settings) as where,
        installation(settings, where, to_look=to_look) as custody,
    ):
        yield custody


def require_begun(settings: "Settings") -> None:
    """Check that there may be an installation, before servers are made for one that is not there.

    Raises:
        NotInitialisedError: The home holds no database, and none of one's own is configured.
    """
    from custody.acts.setup import NotInitialisedError

    if settings.database_url is None and not (settings.home / "postgres" / "data").is_dir():
        raise NotInitialisedError("no installation here yet: run custody init")


def run_flow(flow: Any, **parameters: object) -> Any:  # noqa: ANN401 - whatever the flow returns
    """Run a flow in this process and return its result, or raise what failed it.

    A run that ends early (a draft, an approval that is missing) returns what its state holds.
    """
    return flow(**parameters, return_state=True).result()


def os_user() -> "Actor":
    """Return the actor of a command: the user of the operating system, not a proven person."""
    from custody.acts.context import Actor

    return Actor(how="os-user", name=getpass.getuser())


def reachable_prefect(settings: "Settings") -> str | None:
    """Return the address of Prefect's API if something answers there now."""
    from custody.embedded.http import ApiUnreachableError, ask

    api_url = settings.prefect_api_url or _embedded_api(settings)
    try:
        return api_url if api_url and ask(api_url, "/health") is True else None
    except ApiUnreachableError:
        return None


def announce(custody: "Custody") -> bool:
    """Emit the events of requests nobody announced yet, if Prefect is there to hear them.

    The request rows are the outbox: what is not announced now will be later.
    """
    settings = load_settings()
    api_url = reachable_prefect(settings)
    if api_url is None:
        note("not_announced")
        return False
    _become_client(settings, api_url)
    from custody.cli.prefect_process import drain
    from tasks.events import announce as emit

    emit(custody)
    drain()
    return True


@contextmanager
def installation(
    settings: "Settings", where: "Running", *, to_look: bool = False
) -> Iterator["Custody"]:
    """Open the installation on servers that are running; what was done gets a checkpoint.

    On a ledger that contradicts the last checkpoint nothing is done.

    Args:
        to_look: Nothing is done, only looked at. Then it opens also where the folder's policy is
            not in order, under the one that was used last: what was done must stay verifiable.
    """
    from config.installation import open_with
    from custody.acts.checkpoints import require_extended
    from custody.acts.setup import close_custody, last_policy
    from custody.policy.problems import PolicyInvalidError

    try:
        custody = open_with(settings, where)
    except PolicyInvalidError:
        policy = last_policy(where.database_url) if to_look else None
        if policy is None:
            raise
        custody = open_with(settings, where, policy)
        note("policy_not_in_order")
    try:
        if not to_look:
            require_extended(custody)
        yield custody
        if not to_look:
            vouch(custody)
    finally:
        close_custody(custody)


def vouch(custody: "Custody") -> None:
    """Keep a checkpoint of the ledger, if anything came since the last one.

    Raises:
        CheckpointContradictedError: The ledger does not extend the last one.
    """
    from custody.acts.checkpoints import keep_checkpoint

    kept = keep_checkpoint(custody)
    if kept is not None and kept.silent:
        note("witness_silent")


def _embedded_api(settings: "Settings") -> str:
    """Return where the embedded server said it is, empty where none was ever started."""
    from custody.embedded.access import find_access
    from custody.embedded.home import Home

    access = find_access(Home.open(settings.home)) if settings.home.is_dir() else None
    return access.api_url if access else ""


def _become_client(settings: "Settings", api_url: str) -> None:
    from custody.embedded.home import Home
    from custody.embedded.processes import become_client

    become_client(os.environ, api_url=api_url, home=Home.open(settings.home))
    _hush_prefect()


def _hush_prefect() -> None:
    if manner().debug:
        return
    os.environ.setdefault(_CONSOLE, "CRITICAL")
    for sender in _SENDERS:  # they warn of what they still have to send, and then send it
        logging.getLogger(sender).setLevel(logging.CRITICAL)
