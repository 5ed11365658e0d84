"""No key and no password where other processes of the machine see it (threats T6)."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from markers import PASSWORD
from running_stack import GUARD, Stack

from custody.embedded.home import Home
from custody.embedded.runtime import Wanted, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes(stack: Stack) -> Iterator[dict[int, str]]:
    """Return server, worker and PostgreSQL with all they started, by number."""
    home = stack.home
    keys = home / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    if not (keys / "root.key").exists():
        (keys / "root.key").write_bytes(os.urandom(32))
    environment = {
        **os.environ,
        "PYTHONPATH": str(GUARD),
        "GUARD_FILE": str(stack.attempts),
        "CUSTODY_PASSPHRASE_FILE": str(home / "keys" / "passphrase"),
    }
    with running(Wanted(home=home, environment=environment), prefect=True, worker=True):
        yield dict(of_home(home))


def of_home(home: Path) -> Iterator[tuple[int, str]]:
    """Yield every process but this one that has to do with the home, with its command line."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            surroundings = (entry / "environ").read_bytes()
            folder = os.readlink(entry / "cwd")  # noqa: PTH115 - as the kernel says it
        except OSError:
            continue
        if str(home) in command or str(home).encode() in surroundings or folder == str(home):
            yield int(entry.name), command


def secrets(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every secret of the home in every form it could be written in."""
    for role in sorted(Home.open(home).passwords.iterdir()):
        yield role.name, role.read_text(encoding="ascii").strip().rpartition(":")[2].encode()
    key = (home / "keys" / "root.key").read_bytes()
    for form in (key, key.hex().encode(), base64.b64encode(key), key.strip()):
        yield "root key", form
    yield "password in a URL", PASSWORD.encode()


def visible(process: int) -> bytes:
    """Return what the machine shows of a process: environment, command line, name."""
    folder = Path("/proc") / str(process)
    return b"".join((folder / name).read_bytes() for name in ("environ", "cmdline", "comm"))


def test_all_three_services_are_looked_at(processes: dict[int, str]) -> None:
    lines = " ".join(processes.values())
    for service in ("prefect server start", "prefect worker start", "bin/postgres"):
        assert service in lines, lines


def test_no_secret_is_in_an_environment_or_on_a_command_line(
    processes: dict[int, str], stack: Stack
) -> None:
    known = list(secrets(stack.home))
    assert len(known) >= 6
    for process, command in processes.items():
        shown = visible(process)
        assert [name for name, secret in known if secret in shown] == [], command


def test_a_secret_there_would_be_found(stack: Stack) -> None:
    """The same look at a careless process."""
    import subprocess  # noqa: PLC0415 - only here
    import sys  # noqa: PLC0415

    _, password = next(secrets(stack.home))
    careless = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={"PGPASSWORD": password.decode(), "HOME": str(stack.home)},
    )
    try:
        assert careless.pid in dict(of_home(stack.home))
        assert password in visible(careless.pid)
    finally:
        careless.communicate(b"\n")


def test_no_process_leaves_a_core_dump(processes: dict[int, str]) -> None:
    for process, command in processes.items():
        limits = (Path("/proc") / str(process) / "limits").read_text(encoding="ascii")
        line = next(one for one in limits.splitlines() if one.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"], command


def test_a_process_that_opens_an_installation_leaves_none_either(stack: Stack) -> None:
    program = """
import resource
from config import installation
from config.settings import load_settings
from custody.embedded.runtime import Running
nowhere = Running(database_url="postgresql+psycopg://x@/x?host=/nowhere", keys_url="")
try:
    installation.open_with(load_settings(), nowhere)
except Exception as error:
    print(type(error).__name__, resource.getrlimit(resource.RLIMIT_CORE))
"""
    assert stack.run("-c", program).stdout.strip() == "DatabaseError (0, 0)"
