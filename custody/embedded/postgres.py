"""The private PostgreSQL of one home, shared by all commands that use the home.

Reached only over a Unix socket in a folder of mode 0700, by SCRAM with random passwords, with
data checksums. How it runs as root: ``launch`` and ADR 0003.
"""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import make_conninfo

from custody.embedded import binaries, cluster
from custody.embedded.endpoints import Endpoints, Role
from custody.embedded.errors import BinariesMissingError
from custody.embedded.home import Home, write_private
from custody.embedded.launch import Identity, command
from custody.embedded.locks import locked
from custody.embedded.provision import provision
from custody.embedded.service import PATIENCE_SECONDS, Program, Service

NAME = "postgres"
GRACE_SECONDS = 20.0
PROVISIONED = "provisioned-1"
STATUS_LINE = 7  # of postmaster.pid, counted from 0


class EmbeddedPostgres:
    """One process's use of the PostgreSQL of a home."""

    def __init__(
        self,
        home: Path,
        *,
        identity: Identity | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to use it; nothing is started yet.

        Args:
            home: CUSTODY_HOME.
            identity: As whom to run; by default what works here.
            settings: Server settings on top of custody's, for tests.
        """
        self.home = Home.open(home)
        self._identity = identity
        self._settings = dict(settings or {})
        self.service = Service(
            home=self.home, name=NAME, prepare=self._prepare, ready=self._is_ready
        )

    def __enter__(self) -> Self:
        """Have it running for the length of a block."""
        self.ensure_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the use."""
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Where the running server is reached."""
        return Endpoints(
            socket_dir=cluster.published_socket_folder(self.home), passwords=self.home.passwords
        )

    def ensure_running(self) -> Endpoints:
        """Start it or join it, and return where it is reached.

        It runs until every process that called this has called :meth:`stop` or is gone.
        """
        self.service.acquire()
        with locked(self.home.run / "provision", seconds=PATIENCE_SECONDS):
            self._provision_once()
        return self.endpoints

    def stop(self) -> None:
        """End our use; the last one waits until the server has stopped in good order."""
        self.service.release()
        if not self.service.alive:
            cluster.forget_socket_folder(self.home)

    def admin_conninfo(self, database: str) -> str:
        """Return how the admin connects, for making databases; not for work at run time."""
        where = self.endpoints
        return make_conninfo(
            host=str(where.socket_dir),
            port=where.port,
            user=Role.ADMIN.value,
            passfile=str(where.passwords / Role.ADMIN.value),
            dbname=database,
        )

    def _provision_once(self) -> None:
        marker = self.home.postgres / PROVISIONED
        if not marker.exists():
            provision(self.admin_conninfo, self._role_passwords())
            write_private(marker, "")

    def _role_passwords(self) -> dict[Role, str]:
        return {role: cluster.password(self.home, role) for role in Role if role is not Role.ADMIN}

    def _prepare(self) -> Program:
        identity = self._identity or binaries.choose_identity()
        cluster.create(self.home, identity)
        self._require_same_version()
        socket_dir = cluster.socket_folder(self.home)
        cluster.configure(self.home, socket_dir, self._settings)
        server = (binaries.program("postgres"), "-D", str(self.home.cluster))
        return Program(
            command=command(identity, signal.SIGINT, *server),
            environment=binaries.ENVIRONMENT,
            stop_signal=signal.SIGINT,
            grace_seconds=GRACE_SECONDS,
        )

    def _require_same_version(self) -> None:
        kept = (self.home.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if kept != binaries.major_version():
            raise BinariesMissingError(f"the cluster was made by PostgreSQL {kept}")

    def _is_ready(self) -> bool:
        """Ask the server's status file, and its socket, which a killed server no longer answers."""
        try:
            lines = (self.home.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return lines[STATUS_LINE].strip() == "ready" and self._answers()
        except (FileNotFoundError, IndexError):
            return False

    def _answers(self) -> bool:
        where = self.endpoints
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(where.socket_dir / f".s.PGSQL.{where.port}")) == 0
