"""A home without an installation, and a program that is interrupted: said plainly."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from owners import told_to_processes, wait_until_none_is_left

COMMAND = (sys.executable, "-m", "custody.cli.main")


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cus-") as folder:
        yield Path(folder) / "h"


def environment(home: Path) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CUSTODY_", "PREFECT_"))}
    return kept | {"CUSTODY_HOME": str(home)}


@pytest.mark.parametrize("words", [("status",), ("verify",), ("destroy", "plan")])
def test_without_an_installation_the_next_step_is_to_make_one(
    home: Path, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        (*COMMAND, *words, "--json"), env=environment(home), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert "custody init" in json.loads(done.stdout)["error"]["message"]
    assert not home.exists(), "nothing is made for an installation that is not there"


def test_the_doctor_makes_nothing_either(home: Path) -> None:
    done = subprocess.run(
        (*COMMAND, "doctor", "--json"), env=environment(home), capture_output=True, check=False
    )
    document = json.loads(done.stdout)
    next_steps = {one["next"] for one in document["findings"]}
    assert "custody init" in next_steps
    assert not home.exists()


@contextmanager
def going_up(home: Path, *more: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Start ``custody up`` for a block, whatever happens in it."""
    started = subprocess.Popen(
        (*COMMAND, "up", "--no-worker", "--json", *more),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
            started.communicate(timeout=60)


def wait_for(file: Path, started: "subprocess.Popen[bytes]") -> None:
    """Wait until a starting command has made a file."""
    deadline = time.monotonic() + 90
    while not file.exists():
        assert started.poll() is None
        assert time.monotonic() < deadline, file
        time.sleep(0.1)


@pytest.mark.slow
def test_up_does_not_outlive_what_it_started(home: Path) -> None:
    with going_up(home) as started:
        wait_for(home / "run" / "up.pid", started)
        os.kill(server_of(home), signal.SIGKILL)
        out, _ = started.communicate(timeout=60)
    assert started.returncode == 1
    assert b"prefect ended while it was needed" in out
    assert wait_until_none_is_left(home) == {}


def server_of(home: Path) -> int:
    """Return the process of Prefect's server, which is not its warden."""
    (found,) = (
        number
        for number, told in told_to_processes(home).items()
        if b"\0prefect\0server\0start\0" in told and b"warden" not in told.partition(b"\0\0")[0]
    )
    return found


def test_ctrl_c_is_one_json_document_too(home: Path) -> None:
    with going_up(home, "--debug") as started:
        wait_for(home / "run" / "up.lock", started)
        started.send_signal(signal.SIGINT)
        out, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
