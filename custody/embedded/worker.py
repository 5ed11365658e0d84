"""A Prefect worker of type process: it runs the deployments, each flow run in its own process."""

import json
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from custody.embedded.access import authorization
from custody.embedded.home import Home, write_private
from custody.embedded.http import ApiUnreachableError, ask
from custody.embedded.launch import Identity, command
from custody.embedded.processes import client_environment
from custody.embedded.service import Program, Service

NAME = "worker"
POOL = "custody"
# A busy worker may ignore the first SIGTERM; the warden sends a second one after this time.
GRACE_SECONDS = 10.0


class Worker:
    """One process's use of the worker of a home."""

    def __init__(
        self,
        home: Path,
        *,
        api_url: str,
        environment: Mapping[str, str],
        using: tuple[Path, ...] = (),
        pool: str = POOL,
    ) -> None:
        """Prepare to use it; nothing is started yet.

        Args:
            home: CUSTODY_HOME.
            api_url: The Prefect server whose runs it takes.
            environment: The environment of the caller, which its flow runs get.
            using: The leases of the services that it and its flow runs keep running.
            pool: The work pool; it is made if there is none.
        """
        self.home = Home.open(home)
        self.pool = pool
        self._api_url = api_url
        self._environment = environment
        self._using = using
        self._published = self.home.run / f"{NAME}.json"
        self.service = Service(
            home=self.home, name=NAME, prepare=self._prepare, ready=self._is_ready
        )

    def ensure_running(self) -> None:
        """Start it or join it; it runs until every process that called this is done with it."""
        self.service.acquire()

    def stop(self) -> None:
        """End our use; the last one waits until the worker and its flow runs have ended."""
        self.service.release()

    def _prepare(self) -> Program:
        # A new name each time: a worker that was killed counts as online for another 90 s.
        name = f"custody-{secrets.token_hex(4)}"
        write_private(self._published, json.dumps({"name": name}))
        worker = (sys.executable, "-m", "prefect", "worker", "start", "--name", name)
        kind = ("--pool", self.pool, "--type", "process")
        return Program(
            command=command(Identity.SELF, signal.SIGTERM, *worker, *kind),
            environment=client_environment(
                self._environment, api_url=self._api_url, home=self.home
            ),
            grace_seconds=GRACE_SECONDS,
            using=self._using,
        )

    def _is_ready(self) -> bool:
        try:
            name = json.loads(self._published.read_text(encoding="ascii"))["name"]
            known = ask(
                self._api_url,
                f"/work_pools/{self.pool}/workers/filter",
                {},
                authorization=authorization(self.home, self._api_url, self._environment),
            )
        except (ApiUnreachableError, FileNotFoundError):
            return False
        return any(worker["name"] == name for worker in known)
