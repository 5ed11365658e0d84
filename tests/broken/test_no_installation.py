"""A home without an installation, and a program that is interrupted: said plainly."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from owners import processes_of, wait_until_none_is_left

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


@pytest.mark.slow
def test_up_does_not_outlive_what_it_started(home: Path) -> None:
    started = subprocess.Popen(
        (*COMMAND, "up", "--no-worker", "--json"),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while not (home / "run" / "up.pid").exists():
        assert started.poll() is None
        time.sleep(0.1)
    os.kill(server_of(home), signal.SIGKILL)
    out, _ = started.communicate(timeout=60)
    assert started.returncode == 1
    assert b"prefect ended while it was needed" in out
    assert wait_until_none_is_left(home) == {}


def server_of(home: Path) -> int:
    """Return the process of Prefect's server, which is not its warden."""
    (found,) = (
        number
        for number in processes_of(home)
        if Path(f"/proc/{number}/cmdline").read_bytes().endswith(b"\0prefect\0server\0start\0")
        and b"warden" not in Path(f"/proc/{number}/cmdline").read_bytes()
    )
    return found


def test_ctrl_c_is_one_json_document_too(home: Path) -> None:
    started = subprocess.Popen(
        (*COMMAND, "up", "--no-worker", "--json", "--debug"),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stderr is not None
    while not (home / "run" / "up.lock").exists():
        assert started.poll() is None, started.stderr.read()
    started.send_signal(signal.SIGINT)
    out, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
