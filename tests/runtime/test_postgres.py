"""The embedded PostgreSQL: private, shared, cleaned up, and none the worse for being killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from owners import (
    Owner,
    modes,
    parent_of,
    postmaster_of,
    processes_of,
    told_to_processes,
    wait_until_none_is_left,
)
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from custody.embedded.binaries import works_as
from custody.embedded.endpoints import DATA, KEYS, PREFECT, Role
from custody.embedded.launch import Identity
from custody.embedded.postgres import EmbeddedPostgres

IDENTITIES = [Identity.NAMESPACE, Identity.ACCOUNT] if os.geteuid() == 0 else [Identity.SELF]
# An ordinary user who may read everything: the interpreter may lie below root's private folder.
CAPABILITY = "-all,+dac_read_search"
ORDINARY = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    "--securebits=+no_setuid_fixup",  # access(2) looks at capabilities only so
    *(f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}"),
)


@pytest.fixture
def home(short_tmp: Path) -> Iterator[Path]:
    yield short_tmp
    assert wait_until_none_is_left(short_tmp) == {}


def ask(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_it_runs_as_whoever_we_are_and_changes_no_mode(identity: Identity, home: Path) -> None:
    if not works_as(identity):
        pytest.skip(f"{identity}: this machine forbids it")
    outside = home.parent.stat().st_mode
    with EmbeddedPostgres(home, identity=identity) as server:
        assert ask(server.endpoints.app_url, "SELECT current_user") == "custody_app"
        assert ask(server.endpoints.app_url, "SHOW data_checksums") == "on"
        assert home.stat().st_mode & 0o777 == 0o700
        assert modes(home) == {}
    assert home.parent.stat().st_mode == outside
    if identity is not Identity.ACCOUNT:
        assert {path.stat().st_uid for path in home.rglob("*")} == {os.geteuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="root: only root has a choice")
def test_a_cluster_survives_a_change_of_identity(home: Path) -> None:
    for identity in (Identity.ACCOUNT, Identity.NAMESPACE, Identity.ACCOUNT):
        if works_as(identity):
            with EmbeddedPostgres(home, identity=identity) as server:
                assert ask(server.endpoints.keys_url, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="root: only root can become somebody else")
def test_an_ordinary_user_has_one_too(home: Path) -> None:
    folder = home / "ordinary"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    home.chmod(0o711)
    with Owner(folder, as_user=ORDINARY):
        status = Path(f"/proc/{postmaster_of(folder)}/status").read_text()
        assert "Uid:\t65534\t65534" in status
        assert modes(folder) == {}


def test_nothing_listens_on_the_network_and_no_password_is_in_sight(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        assert ask(server.endpoints.app_url, "SHOW listen_addresses") == ""
        secrets = {path.read_text().strip()[8:] for path in server.home.passwords.iterdir()}
        assert len(secrets) == len(Role)
        told = told_to_processes(home).values()
        seen = "".join(one.decode(errors="replace") for one in told)
        assert str(home) in seen
        assert [
            secret
            for secret in secrets
            if secret in seen or secret in repr(server.endpoints.app_url)
        ] == []


def test_without_its_password_nobody_is_let_in(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        empty = home / "empty"
        empty.touch(mode=0o600)
        for role in Role:
            url = server.endpoints.url(role, DATA).rpartition("passfile")[0] + f"passfile={empty}"
            with pytest.raises(OperationalError):
                ask(url, "SELECT 1")


@pytest.mark.parametrize(
    ("role", "database", "statement"),
    [
        (Role.APP, DATA, "CREATE TABLE x (y int)"),
        (Role.APP, DATA, "CREATE SCHEMA x"),
        (Role.APP, DATA, "CREATE TEMPORARY TABLE x (y int)"),
        (Role.APP, KEYS, "CREATE TEMPORARY TABLE x (y int)"),
        (Role.APP, DATA, "CREATE ROLE x"),
        (Role.APP, PREFECT, "SELECT 1"),
        (Role.OWNER, PREFECT, "SELECT 1"),
        (Role.PREFECT, DATA, "SELECT 1"),
        (Role.PREFECT, KEYS, "SELECT 1"),
        (Role.OWNER, DATA, "CREATE ROLE x"),
        (Role.OWNER, DATA, "COPY (SELECT 1) TO '/tmp/x'"),
    ],
)
def test_a_role_may_not(
    role: Role, database: str, statement: str, postgres: EmbeddedPostgres
) -> None:
    with pytest.raises(DBAPIError) as refusal:
        ask(postgres.endpoints.url(role, database), statement)
    orig = refusal.value.orig
    assert isinstance(orig, psycopg.Error)
    assert orig.sqlstate == "42501" or "permission denied" in str(orig)


def test_only_the_admin_is_a_superuser(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.admin_conninfo("postgres")) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper").fetchall()
    assert rows == [(Role.ADMIN.value,)]


def test_the_log_holds_no_value_of_a_failed_statement(home: Path) -> None:
    failures = [
        "SELECT CAST('canary-4711' AS int)",
        "DO $$ BEGIN RAISE WARNING 'harmless'; RAISE 'canary-4711'; END $$",
        "SELECT * FROM canary_4711",
        "SELECT pg_terminate_backend(pg_backend_pid()) /* canary-4711 */",
    ]
    with EmbeddedPostgres(home) as server:
        for statement in failures:
            with pytest.raises(DBAPIError):
                ask(server.endpoints.owner_url, statement)
        quiet = server.home.log("postgres").read_text()
    careless = {"log_min_messages": "warning", "log_min_error_statement": "error"}
    with EmbeddedPostgres(home, settings=careless) as server:
        for statement in failures:
            with pytest.raises(DBAPIError):
                ask(server.endpoints.owner_url, statement)
        loud = server.home.log("postgres").read_text()
    assert "canary" not in quiet
    assert "canary-4711" in loud.removeprefix(quiet)


def test_two_uses_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    with Owner(home) as other:
        number = postmaster_of(home)
        with EmbeddedPostgres(home) as server:
            assert postmaster_of(home) == number
            assert other.end() == 0
            assert ask(server.endpoints.app_url, "SELECT 1") == 1
    assert processes_of(home) == {}


def test_two_homes_do_not_disturb_each_other(home: Path) -> None:
    first, second = EmbeddedPostgres(home / "a"), EmbeddedPostgres(home / "b")
    with first, second:
        ask(first.endpoints.owner_url, "CREATE TABLE only_here (x int)")
        first.stop()
        assert ask(second.endpoints.owner_url, "SELECT to_regclass('only_here')") is None
    assert (first.service.alive, second.service.alive) == (False, False)


def test_a_home_with_a_long_path_leaves_no_socket_folder_behind(home: Path) -> None:
    server = EmbeddedPostgres(home / ("long-" * 30))
    with server:
        folder = server.endpoints.socket_dir
        assert ask(server.endpoints.app_url, "SELECT 1") == 1
    assert not folder.exists()


def test_many_at_once_start_one_server(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import psycopg\n"
        "from custody.embedded.postgres import EmbeddedPostgres\n"
        "for _ in range(4):\n"
        "    with EmbeddedPostgres(Path(sys.argv[1])) as server:\n"
        "        with psycopg.connect(server.endpoints.app_url.replace('+psycopg', '')) as c:\n"
        "            assert c.execute('SELECT 1').fetchone() == (1,)\n"
    )
    command = [sys.executable, "-c", program, str(home)]
    running = [subprocess.Popen(command) for _ in range(6)]
    assert [process.wait(60) for process in running] == [0] * len(running)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_its_last_user_ends_it(number: signal.Signals, home: Path) -> None:
    Owner(home).kill(number)
    assert wait_until_none_is_left(home) == {}
    with EmbeddedPostgres(home) as server:
        assert ask(server.endpoints.app_url, "SELECT 1") == 1


def test_ctrl_c_leaves_no_process(home: Path) -> None:
    Owner(home).interrupt()
    assert wait_until_none_is_left(home) == {}


def wait_until_stopping(postmaster: int, home: Path) -> None:
    """Wait until the server, or what the kernel makes of it, has noticed."""
    status = home / "postgres" / "data" / "postmaster.pid"
    for _ in range(500):
        with suppress(FileNotFoundError):
            state = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and "ready" in status.read_text():
                time.sleep(0.01)
                continue
        return


@pytest.mark.parametrize("victim", ["postmaster", "warden", "both"])
def test_a_killed_server_comes_back_with_what_was_committed(victim: str, home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        ask(server.endpoints.owner_url, "CREATE TABLE kept AS SELECT 42 AS x")
        postmaster = postmaster_of(home)
        warden = parent_of(postmaster)
        if victim != "postmaster":
            os.kill(warden, signal.SIGKILL)
        if victim != "warden":
            os.kill(postmaster, signal.SIGKILL)
        wait_until_stopping(postmaster, home)
        again = EmbeddedPostgres(home)
        again.ensure_running()
        assert ask(again.endpoints.owner_url, "SELECT x FROM kept") == 42
        again.stop()


def test_a_cluster_that_was_never_finished_is_begun_again(home: Path) -> None:
    (home / "postgres").mkdir(mode=0o700)
    (home / "home.json").write_text('{"form": 1}')
    (home / "postgres" / "draft").mkdir(mode=0o700)
    (home / "postgres" / "draft" / "PG_VERSION").write_text("18")
    with EmbeddedPostgres(home) as server:
        assert ask(server.endpoints.app_url, "SELECT 1") == 1
