"""This process as a client of Prefect: its environment is set before Prefect is imported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from config.settings import Settings, wanted
from custody.embedded.home import Home
from custody.embedded.processes import become_client
from custody.embedded.runtime import Running, running

DRAIN_SECONDS: Final = 10.0


@contextmanager
def as_prefect_client(settings: Settings, *, worker: bool = False) -> Iterator[Running]:
    """Have databases and Prefect running for a block, and this process talk to them.

    What Prefect still wants to tell its server (logs, events) is sent before the server stops.
    """
    with running(wanted(settings), prefect=True, worker=worker) as where:
        api_url = where.prefect_api_url or ""
        become_client(os.environ, api_url=api_url, home=Home.open(settings.home))
        os.environ["CUSTODY_HOME"] = str(settings.home)
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        try:
            yield where
        finally:
            drain()


def drain() -> None:
    """Wait until Prefect's background senders have sent what they hold."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=DRAIN_SECONDS)
    EventsWorker.drain_all(timeout=DRAIN_SECONDS)
