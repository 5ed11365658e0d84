"""A large batch is done by several processes, and none is left when the step is over."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from owners import processes_of, wait_until_none_is_left

from custody.demo.people import World, make_person
from custody.demo.rows import CUSTOMER_COLUMNS, customer_row
from custody.demo.writers import CsvWriter

pytestmark = pytest.mark.slow
DRIVER = Path(__file__).with_name("helper_driver.py")
CUSTODY = Path(sys.executable).with_name("custody")
SECONDS = 200
ROWS, CHUNK = 400, 10


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="cus-") as folder:
        home = Path(folder) / "h"
        plain = {"CUSTODY_HOME": str(home), "CUSTODY_PROCESSES": "2", "LC_ALL": "C.UTF-8"}
        environment = {**plain, "CUSTODY_CHUNK_ROWS": str(CHUNK), "PATH": "/usr/bin:/bin"}
        words = Path(folder) / "words"
        words.write_text("one long passphrase\nanother long passphrase\n")
        officers = ("--officer", "孙立:保密管理部", "--officer", "李敏:保密管理部")
        done = subprocess.run(
            [CUSTODY, "--json", "init", *officers, "--person-passphrase-file", words],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield environment
        assert wait_until_none_is_left(home) == processes_of(home) == {}


def driven(environment: dict[str, str], folder: Path, how: str, first: int) -> dict[str, Any]:
    """Ingest a file of people who consented to nothing, and return what the driver tells."""
    zone = ZoneInfo("Asia/Shanghai")
    world = World(seed=3, today=datetime.now(UTC).date(), zone=zone)
    path = folder / f"{how}.csv"
    with CsvWriter(path, CUSTOMER_COLUMNS, "gb18030") as writer:
        for index in range(first, first + ROWS):
            person = make_person(world, index, minor=False)
            writer.write(customer_row(person, person.customer_no), ())
    done = subprocess.run(
        [sys.executable, DRIVER, path, how], env=environment, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "stderr": done.stderr}


def test_a_helper_does_some_of_it(environment: dict[str, str], tmp_path: Path) -> None:
    told = driven(environment, tmp_path, "finish", 0)
    assert (told["helpers"], told["chunks"]) == (1, ROWS // CHUNK)
    assert told["done"] == told["chunks"]
    assert told["here"] < told["chunks"]
    assert told["left"] == 0


def test_where_the_step_fails_its_helpers_end(environment: dict[str, str], tmp_path: Path) -> None:
    told = driven(environment, tmp_path, "fail", ROWS)
    assert told["failed"]
    assert (told["helpers"], told["left"]) == (1, 0)
    assert 0 < told["done"] < told["chunks"]


def test_a_helper_that_fails_says_nothing_of_a_customer_and_is_done_without(
    environment: dict[str, str], tmp_path: Path
) -> None:
    told = driven(environment, tmp_path, "leak", 2 * ROWS)
    assert told["here"] == told["done"] == told["chunks"]
    assert "its message is withheld" in told["stderr"]
    assert "ValueError" in told["stderr"]
    for part in ("王小明", "13812345678"):
        assert part not in told["stderr"]
