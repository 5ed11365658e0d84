"""Prefect's server on the embedded PostgreSQL, shared by all commands that use the home."""

import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from custody.embedded.access import LOOPBACK, find_access, publish_access
from custody.embedded.home import Home, close_to_others
from custody.embedded.http import ApiUnreachableError, ask
from custody.embedded.launch import Identity, command
from custody.embedded.processes import server_environment
from custody.embedded.service import Program, Service

NAME = "prefect"
GRACE_SECONDS = 8.0


class PrefectServer:
    """One process's use of the Prefect server of a home."""

    def __init__(
        self,
        home: Path,
        *,
        database_url: str,
        environment: Mapping[str, str],
        using: tuple[Path, ...] = (),
    ) -> None:
        """Prepare to use it; nothing is started yet.

        Args:
            home: CUSTODY_HOME.
            database_url: Prefect's own database, ``postgresql+asyncpg://``.
            environment: The environment of the caller.
            using: The lease of the embedded PostgreSQL, which the server then keeps running.
        """
        self.home = Home.open(home)
        self._database_url = database_url
        self._environment = environment
        self._using = using
        self.service = Service(
            home=self.home, name=NAME, prepare=self._prepare, ready=self._is_ready
        )

    @property
    def api_url(self) -> str:
        """The address of its API; valid while it runs."""
        access = find_access(self.home)
        return access.api_url if access else ""

    def ensure_running(self) -> str:
        """Start it or join it, and return the address of its API.

        It runs until every process that called this has called :meth:`stop` or is gone.
        """
        self.service.acquire()
        close_to_others(self.home.pages)  # it unpacks them with the modes of their origin
        return self.api_url

    def stop(self) -> None:
        """End our use; the last one waits until the server has stopped."""
        self.service.release()

    def _prepare(self) -> Program:
        before = find_access(self.home)
        access = publish_access(self.home, free_port(before.port if before else 0))
        server = (sys.executable, "-m", "prefect", "server", "start")
        return Program(
            command=command(Identity.SELF, signal.SIGTERM, *server),
            environment=server_environment(
                self._environment,
                database_url=self._database_url,
                port=access.port,
                home=self.home,
            ),
            grace_seconds=GRACE_SECONDS,
            using=self._using,
        )

    def _is_ready(self) -> bool:
        try:
            return ask(self.api_url, "/health") is True
        except ApiUnreachableError:
            return False


def free_port(wanted: int) -> int:
    """Return ``wanted`` (the last start's port, so that bookmarks hold) or one that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on the loopback address")
