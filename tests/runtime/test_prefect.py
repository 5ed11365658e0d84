"""Prefect's server and worker on the embedded PostgreSQL."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from owners import Owner, modes, processes_of, told_to_processes, wait_until_none_is_left
from schedules import Api, call, deploy_cron, wait_for_scheduled_runs

from custody.embedded.access import authorization, find_access, password_file, publish_access
from custody.embedded.home import Home
from custody.embedded.http import ApiUnreachableError, ask
from custody.embedded.prefect_server import free_port
from custody.embedded.processes import become_client, client_environment, server_environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Owner, Path]]:
    home = tmp_path_factory.mktemp("home", numbered=True)
    with Owner(home, "prefect", "worker") as running:
        yield running, home
    assert wait_until_none_is_left(home) == {}


def test_a_cron_makes_scheduled_runs(owner: tuple[Owner, Path]) -> None:
    """With SQLAlchemy 2.1 the scheduler fails every minute and nobody notices (ADR 0002)."""
    api = Api(url=owner[0].api_url, home=owner[1])
    runs = wait_for_scheduled_runs(api, deploy_cron(api, "cron"))
    assert runs
    assert runs[0]["next_scheduled_start_time"].endswith(("T18:00:00Z", "T18:00:00+00:00"))


def test_it_listens_on_loopback_only(owner: tuple[Owner, Path]) -> None:
    address = urlsplit(owner[0].api_url)
    assert address.hostname == "127.0.0.1"
    port = f"{address.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = {line.split()[1] for line in lines if line.split()[3] == "0A"}
    assert {one for one in listening if one.endswith(f":{port}")} == {f"0100007F:{port}"}


def test_it_keeps_its_data_in_postgresql_and_nothing_open_to_others(
    owner: tuple[Owner, Path],
) -> None:
    home = owner[1]
    assert list(home.rglob("prefect.db")) == []
    assert modes(home) == {}


def test_it_runs_the_services_that_custody_relies_on(owner: tuple[Owner, Path]) -> None:
    settings = Api(url=owner[0].api_url, home=owner[1]).ask("/admin/settings")
    services = settings["server"]["services"]
    for name in ("scheduler", "triggers", "task_run_recorder", "event_persister", "late_runs"):
        assert services[name]["enabled"], name
    assert services["task_run_recorder"]["batch_size"] == 100
    assert not settings["server"]["analytics_enabled"]


def test_a_worker_is_online(owner: tuple[Owner, Path]) -> None:
    workers = Api(url=owner[0].api_url, home=owner[1]).ask("/work_pools/custody/workers/filter", {})
    assert [worker["status"] for worker in workers] == ["ONLINE"]


ATTACKS = (
    ("GET", "/deployments/name/any/any", {}),
    ("POST", "/deployments/", {}),
    ("POST", "/flow_runs/filter", {"Authorization": "Basic Y3VzdG9keTo="}),
    ("POST", "/work_pools/", {"Authorization": "Bearer custody"}),
    ("GET", "/admin/settings", {"Authorization": "Basic"}),
)


@pytest.mark.parametrize(("method", "path", "headers"), ATTACKS)
def test_whoever_cannot_read_the_home_gets_nothing_from_the_api(
    owner: tuple[Owner, Path], method: str, path: str, headers: dict[str, str]
) -> None:
    """A deployment made here would run its maker's code as custody's own user."""
    api = Api(url=owner[0].api_url, home=owner[1])
    own = authorization(Home.open(owner[1]), api.url, {})
    assert status(api.url, method, path, {"Authorization": own}) != 401, "the control"
    assert status(api.url, method, path, headers) == 401


def test_a_page_from_elsewhere_may_not_read_the_api(owner: tuple[Owner, Path]) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert status(owner[0].api_url, "OPTIONS", "/deployments/", asked) == 400
    asked["Origin"] = owner[0].api_url.removesuffix("/api")
    assert status(owner[0].api_url, "OPTIONS", "/deployments/", asked) == 200


def status(api_url: str, method: str, path: str, headers: dict[str, str]) -> int:
    return call(api_url, method, path, headers, {})[0]


def test_the_word_outlives_the_server_and_is_in_no_environment_or_command_line(
    owner: tuple[Owner, Path],
) -> None:
    access = find_access(Home.open(owner[1]))
    assert access is not None
    assert password_file(Home.open(owner[1])).read_text().strip() == access.password
    assert access.password not in repr(access)
    word = access.password.encode()
    told = told_to_processes(owner[1])
    assert sum(b"prefect" in one for one in told.values()) >= 2, "server and worker are there"
    assert [number for number, one in told.items() if word in one] == []
    assert publish_access(Home.open(owner[1]), access.port) == access


def test_another_server_is_never_told_the_word_of_our_own(short_tmp: Path) -> None:
    home = Home.open(short_tmp)
    own = publish_access(home, 4999)
    elsewhere = "http://127.0.0.1:4998/api"
    assert authorization(home, elsewhere, {}) == ""
    told = {"PREFECT_API_AUTH_STRING": "a:b", "PREFECT_API_KEY": "k"}
    assert authorization(home, elsewhere, told) == "Basic YTpi"
    assert authorization(home, elsewhere, {"PREFECT_API_KEY": "k"}) == "Bearer k"
    profiles = short_tmp / "own.toml"
    profiles.write_text('[profiles.firm]\nPREFECT_API_AUTH_STRING = "c:d"\n')
    named = {"PREFECT_PROFILES_PATH": str(profiles), "PREFECT_PROFILE": "firm"}
    assert authorization(home, elsewhere, named) == "Basic Yzpk"
    assert authorization(home, elsewhere, named | {"PREFECT_PROFILE": "other"}) == ""
    theirs = client_environment(told, api_url=elsewhere, home=home)
    assert "PREFECT_PROFILE" not in theirs
    assert theirs["PREFECT_API_AUTH_STRING"] == "a:b"
    ours = dict(told)
    become_client(ours, api_url=own.api_url, home=home)
    assert ours["PREFECT_PROFILE"] == "custody"
    assert not told.keys() & ours.keys()


def test_another_command_joins_the_same_server(owner: tuple[Owner, Path]) -> None:
    before = processes_of(owner[1])
    with Owner(owner[1], "prefect", "worker") as second:
        assert second.api_url == owner[0].api_url
    assert set(before) - set(processes_of(owner[1])) == set()
    assert ask(owner[0].api_url, "/health") is True


@pytest.mark.parametrize("ending", ["interrupt", "terminate", "kill"])
def test_nothing_is_left_behind(ending: str, short_tmp: Path) -> None:
    running = Owner(short_tmp, "prefect", "worker")
    endings = {
        "interrupt": running.interrupt,
        "terminate": lambda: running.kill(signal.SIGTERM),
        "kill": running.kill,
    }
    assert len(processes_of(short_tmp)) > 6
    endings[ending]()
    assert wait_until_none_is_left(short_tmp, 40) == {}
    with pytest.raises(ApiUnreachableError):
        ask(running.api_url, "/health")


def test_a_caller_s_own_prefect_settings_reach_the_server_not(short_tmp: Path) -> None:
    caller = {
        "PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///x.db",
        "PREFECT_SERVER_API_PORT": "4200",
        "CUSTODY_DATABASE_URL": "postgresql+psycopg://a:geheim@b/c",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath,
        "NO_PROXY": "example.org",
    }
    told = server_environment(
        caller, database_url="postgresql+asyncpg://", port=4999, home=Home.open(short_tmp)
    )
    assert told["PREFECT_API_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://"
    assert told["PREFECT_SERVER_API_PORT"] == "4999"
    assert told["PATH"] == os.defpath
    assert told["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert not {"PYTHONDONTWRITEBYTECODE", "CUSTODY_DATABASE_URL"} & set(told)


def test_the_last_port_is_taken_again_unless_it_is_busy() -> None:
    port = free_port(0)
    assert free_port(port) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert free_port(port) != port
