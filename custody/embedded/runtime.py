"""Have running what a command needs: what is configured, or what custody starts itself."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from custody.embedded.postgres import EmbeddedPostgres
from custody.embedded.prefect_server import PrefectServer
from custody.embedded.service import Service
from custody.embedded.worker import Worker
from custody.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is configured; an empty address means that custody starts its own.

    Attributes:
        home: CUSTODY_HOME.
        environment: The environment of the caller, for the processes that are started.
        database_url: CUSTODY_DATABASE_URL.
        keys_url: CUSTODY_KEYS_URL.
        prefect_api_url: PREFECT_API_URL.
    """

    home: Path
    environment: Mapping[str, str]
    database_url: str | None = None
    keys_url: str | None = None
    prefect_api_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """Where everything is reached.

    Attributes:
        database_url: The data database, for the application.
        keys_url: The key database, for the application.
        owner_url: The data database for migrations; None where it is not ours to migrate.
        keys_owner_url: The key database for migrations; None likewise.
        prefect_api_url: Prefect's API; None where it was not asked for.
        services: The processes behind it that custody keeps running itself.
    """

    database_url: str
    keys_url: str
    owner_url: str | None = None
    keys_owner_url: str | None = None
    prefect_api_url: str | None = None
    services: tuple[Service, ...] = ()

    @property
    def ui_url(self) -> str | None:
        """The address of Prefect's UI."""
        return self.prefect_api_url and self.prefect_api_url.removesuffix("/api")


@contextmanager
def running(wanted: Wanted, *, prefect: bool = False, worker: bool = False) -> Iterator[Running]:
    """Have the databases, and where asked Prefect and a worker, running for a block.

    What custody starts itself goes on while another command in the same home uses it.

    Raises:
        UsageError: Only one of the two databases is configured.
        ServiceFailedError: Something did not come up.
    """
    _require_both_or_neither(wanted)
    with ExitStack() as stack:
        postgres = None
        if wanted.database_url is None or (prefect and wanted.prefect_api_url is None):
            postgres = stack.enter_context(EmbeddedPostgres(wanted.home))
        services: tuple[Service, ...] = (postgres.service,) if postgres else ()
        api_url = None
        if prefect or worker:
            api_url, services = _prefect(stack, wanted, postgres, services)
        if worker and api_url:
            services = (*services, _worker(stack, wanted, api_url, services))
        yield replace(_addresses(wanted, postgres, api_url), services=services)


def _require_both_or_neither(wanted: Wanted) -> None:
    if (wanted.database_url is None) is not (wanted.keys_url is None):
        raise UsageError("set both CUSTODY_DATABASE_URL and CUSTODY_KEYS_URL, or neither")


def _prefect(
    stack: ExitStack,
    wanted: Wanted,
    postgres: EmbeddedPostgres | None,
    services: tuple[Service, ...],
) -> tuple[str, tuple[Service, ...]]:
    if wanted.prefect_api_url or postgres is None:
        return str(wanted.prefect_api_url), services
    server = PrefectServer(
        wanted.home,
        database_url=postgres.endpoints.prefect_url,
        environment=wanted.environment,
        using=_leases(services),
    )
    stack.callback(server.stop)
    return server.ensure_running(), (*services, server.service)


def _worker(
    stack: ExitStack, wanted: Wanted, api_url: str, services: tuple[Service, ...]
) -> Service:
    worker = Worker(
        wanted.home, api_url=api_url, environment=wanted.environment, using=_leases(services)
    )
    stack.callback(worker.stop)
    worker.ensure_running()
    return worker.service


def _leases(services: Iterable[Service]) -> tuple[Path, ...]:
    return tuple(one.lease for one in services)


def _addresses(wanted: Wanted, postgres: EmbeddedPostgres | None, api_url: str | None) -> Running:
    if wanted.database_url and wanted.keys_url:
        return Running(
            database_url=wanted.database_url, keys_url=wanted.keys_url, prefect_api_url=api_url
        )
    if postgres is None:  # unreachable: see `running`
        raise UsageError("no database")
    where = postgres.endpoints
    return Running(
        database_url=where.app_url,
        keys_url=where.keys_url,
        owner_url=where.owner_url,
        keys_owner_url=where.keys_owner_url,
        prefect_api_url=api_url,
    )
