"""Custody as a firm runs it: ``custody up`` in a process of its own, asked through Prefect's API.

Nothing here imports Prefect: what a run is and what became of it is read as any stranger with
access to the API would read it, and from custody's own ledger.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from owners import wait_until_none_is_left
from schedules import Api, call

from config.settings import Settings
from custody.acts.context import Actor
from custody.cli.demonstration.house import House, found_house
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.demo.legacy import Legacy, build_legacy
from custody.embedded.access import authorization
from custody.embedded.home import Home
from custody.embedded.runtime import Wanted, running

CUSTODY: Final = str(Path(sys.executable).parent / "custody")
TESTER: Final = Actor(how="os-user", name="tester")
CHINOOK_FILE: Final = "Chinook_Sqlite.sqlite"
STAGES: Final = ("ingest", "store", "use", "transfer", "destroy")
UPKEEP: Final = ("turn", "close-period", "rekey", "retag", "reconcile")
ENDED: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
CUSTOMERS: Final = 40
SEED: Final = 7
SECONDS: Final = 120.0
INTERRUPTED: Final = 130
Document = dict[str, Any]


@dataclass(kw_only=True)
class Firm:
    """A synthetic installation with its servers up and its flows deployed."""

    home: Path
    house: House
    legacy: Legacy
    environment: Mapping[str, str]
    address: Document = field(default_factory=dict)

    def custody(self, *arguments: str, code: int = 0) -> Document:
        """Run a command as people do, and return its document."""
        return json.loads(run_custody(self.environment, *arguments, code=code).stdout)

    @property
    def api(self) -> Api:
        """Prefect's API, for somebody who may read the home."""
        return Api(url=self.address["api"], home=self.home)

    @property
    def authorization(self) -> str:
        """What the API is asked with."""
        return authorization(Home.open(self.home), self.address["api"], {})

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask Prefect's API and return the status and the answer."""
        allowed = {"Authorization": self.authorization}
        status, text = call(self.address["api"], method, path, allowed, body)
        return status, json.loads(text) if text else None

    def ask(self, path: str, body: object = None) -> Any:
        """Return the answer to a GET, or to a POST when there is a body."""
        status, answer = self.call("GET" if body is None else "POST", path, body)
        assert 200 <= status < 300, (path, status, answer)
        return answer

    def deployment(self, stage: str) -> Document:
        """Return a deployment by its name."""
        return self.ask(f"/deployments/name/{stage}/{stage}")

    def start(self, stage: str, **parameters: object) -> str:
        """Start a deployed flow as the run form of the UI does, and return the run's id."""
        path = f"/deployments/{self.deployment(stage)['id']}/create_flow_run"
        return self.ask(path, {"parameters": parameters})["id"]

    def run(self, run_id: str) -> Document:
        """Return a run as Prefect has it."""
        return self.ask(f"/flow_runs/{run_id}")

    def ended(self, run_id: str) -> Document:
        """Wait until a run has ended, and return it."""
        return wait_until(lambda: self.run(run_id), lambda run: run["state_type"] in ENDED)

    def runs_of(self, stage: str) -> list[Document]:
        """Return all runs of a stage that are not merely planned."""
        wanted = {"deployments": {"name": {"any_": [stage]}}}
        runs = self.ask("/flow_runs/filter", wanted)
        return [run for run in runs if run["state_type"] != "SCHEDULED"]

    def batch(self, source: str) -> str:
        """Return the batch that a source was taken in as."""
        batches = self.custody("ingest", "list")["batches"]
        return str(next(one["batch"] for one in batches if one["source"] == source))

    def ledger(self, run_id: str = "") -> list[tuple[str, Document]]:
        """Return the entries of a run, or all, as event and body."""
        with transaction(self.house.custody.data) as connection:
            entries = [(one.event, json.loads(one.body)) for one in read_entries(connection)]
        return [(event, body) for event, body in entries if body["run"] == run_id or not run_id]

    def artifacts(self, run_id: str) -> list[str]:
        """Return the pages that a run left for the UI."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return [str(one["data"]) for one in self.ask("/artifacts/filter", wanted)]

    def told(self, run_id: str) -> str:
        """Return everything that Prefect keeps of a run, as one text."""
        runs = {"flow_runs": {"id": {"any_": [run_id]}}}
        logs = {"logs": {"flow_run_id": {"any_": [run_id]}}}
        events = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}
        parts = [
            self.run(run_id),
            self.ask("/flow_run_states/?flow_run_id=" + run_id),
            self.ask("/task_runs/filter", runs),
            self.ask("/logs/filter", logs),
            self.ask("/events/filter", events),
            self.artifacts(run_id),
        ]
        return json.dumps(parts, ensure_ascii=False)


def wait_until(look: Any, is_so: Any, seconds: float = SECONDS, pause: float = 0.4) -> Any:
    """Look again and again until something is so, and return what was seen."""
    deadline = time.monotonic() + seconds
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(pause)
    return seen


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return our environment as a newcomer's: nothing of custody's or Prefect's but the home."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CUSTODY_", "PREFECT_", "PYTHON"))
    }
    return {**plain, "CUSTODY_HOME": str(home), **more}


def run_python(environment: Mapping[str, str], program: str) -> None:
    """Run a few lines of Python where a command would run."""
    command = [sys.executable, "-c", program]
    subprocess.run(command, env=dict(environment), cwd="/", timeout=SECONDS, check=True)


def run_custody(
    environment: Mapping[str, str], *arguments: str, code: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end and expect an exit code."""
    done = subprocess.run(
        [CUSTODY, "--json", *arguments],
        env=dict(environment),
        cwd="/",
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done


@contextmanager
def standing(home: Path, chinook: Path | None) -> Iterator[Firm]:
    """Found a synthetic firm in a home, run ``custody up`` there, and leave nothing behind."""
    with founded_firm(home, chinook) as firm, up(firm):
        yield firm


@contextmanager
def founded_firm(home: Path, chinook: Path | None) -> Iterator[Firm]:
    """Found a synthetic firm in a home, with its databases running, and leave nothing behind."""
    copy = home / "demo" / CHINOOK_FILE
    environment = clean_environment(home, CUSTODY_CHINOOK_URL=f"sqlite:///{copy}")
    with running(Wanted(home=home, environment=environment)) as where:
        house = found_house(Settings(home=home), where, TESTER)
        if chinook is not None:
            shutil.copyfile(chinook / CHINOOK_FILE, copy)
        firm = Firm(home=home, house=house, legacy=_legacy(home, house), environment=environment)
        yield firm
        house.custody.data.dispose()
    assert wait_until_none_is_left(home, 40) == {}


def _legacy(home: Path, house: House) -> Legacy:
    custody = house.custody
    folder = home / "demo" / "legacy"
    return build_legacy(
        folder, customers=CUSTOMERS, seed=SEED, today=custody.today(), zone=custody.zone
    )


@contextmanager
def up(firm: Firm, ends: int = INTERRUPTED) -> Iterator[None]:
    """Run ``custody up`` for a block; Ctrl-C ends it, unless it ended in the block otherwise."""
    process = subprocess.Popen(
        [CUSTODY, "--json", "up"],
        env=dict(firm.environment),
        cwd="/",
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        firm.address = _first_document(process)
        yield
        if ends != INTERRUPTED:
            process.wait(SECONDS)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode == ends


def _first_document(process: "subprocess.Popen[str]") -> Document:
    """Return the JSON document that a process prints before it goes on."""
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if line.rstrip() == "}":
            return json.loads(lines)
    raise AssertionError(f"no document: {lines}")
