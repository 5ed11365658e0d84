"""Nothing leaves this machine: every other address is refused and the attempt noted (threats T29).

The guard is in every Python process of the stack: server, worker, flow runs, commands. That none of
them tries is asserted where all five flows have run, succeeding and failing: test_leak_canary.py.
"""

import socket
from pathlib import Path

import pytest
from running_stack import Stack

pytestmark = pytest.mark.slow

LEAVING = """
import asyncio, socket, urllib.request, httpx
def tries():
    yield lambda: socket.create_connection(("192.0.2.1", 80), timeout=1)
    yield lambda: socket.getaddrinfo("example.com", 443)
    yield lambda: urllib.request.urlopen("http://example.com/", timeout=1)
    yield lambda: httpx.get("https://example.com/", timeout=1)
    yield lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
    yield lambda: socket.socket(socket.AF_INET6).connect_ex(("2001:db8::1", 80))
    yield lambda: asyncio.run(asyncio.open_connection("example.com", 80))
for number, attempt in enumerate(tries()):
    try:
        attempt()
    except Exception as error:
        print(number, type(error).__name__)
"""


def test_the_guard_notes_every_way_out(stack: Stack) -> None:
    own = stack.folder / "attempts-on-purpose"
    outcome = stack.run("-c", LEAVING, GUARD_FILE=str(own))
    assert len(outcome.stdout.splitlines()) == 7, outcome.stdout + outcome.stderr
    noted = own.read_text(encoding="utf-8")
    assert noted.count(" by ['-c']") >= 7


def test_the_server_is_guarded_too(stack: Stack) -> None:
    found = [
        read_or_nothing(entry / "environ")
        for entry in Path("/proc").glob("[0-9]*")
        if b"prefect\0server\0start" in read_or_nothing(entry / "cmdline")
    ]
    assert any(f"GUARD_FILE={stack.attempts}".encode() in one for one in found)


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_this_machine_is_reached(stack: Stack) -> None:
    host, _, port = stack.api_url.removeprefix("http://").removesuffix("/api").partition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass
