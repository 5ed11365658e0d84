"""Runs killed at work, and their worker with them: record and reality come together again.

One run of each flow is held once the ledger has its start, so that it is at work and does not end;
then the worker is killed, and the runs. ``custody up`` ends, for its worker is gone, and is begun
again.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from owners import parent_of
from sqlalchemy import text
from standing_firm import ENDED, Document, Firm, founded_firm, up, wait_until

from custody.acts.history import runs_in_ledger
from custody.database.engine import transaction
from custody.database.ledger import RunEntry
from custody.demo.lines import CONSENTS, CUSTOMERS

pytestmark = pytest.mark.slow
FLOWS = ("ingest", "store", "use", "transfer", "destroy", "turn", "rekey", "retag", "close-period")
AT_WORK = {"RUNNING", "PENDING", "CANCELLING"}
AGAIN = "again:1"
# What a run of it comes to when it is left alone; 2099 is not over.
ENDS = {"close-period": "FAILED"}
PATIENCE = 300.0  # seconds, for nine runs at once on two cores


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is seen after reconciling: runs by flow, as Prefect and as the ledger have them."""

    killed: Mapping[str, Document]
    again: Mapping[str, Document]
    ledger: Mapping[str, RunEntry]
    at_work: list[Document]
    reconciled: Document
    second: Document
    verified: Document
    batches: list[Document]


@pytest.fixture(scope="module")
def told(chinook: Path) -> Iterator[Told]:
    home = Path(tempfile.mkdtemp(prefix="cus-"))
    try:
        with founded_firm(home, chinook) as firm:
            with up(firm, ends=1), held_at_work(firm):
                started = start_one_of_each(firm)
                kill_at_work(firm, started)
            with up(firm):
                yield reconciled(firm, started)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def held_at_work(firm: Firm) -> Iterator[None]:
    """Give every flow something to do, and hold the runs of this block at work."""
    for source in (CONSENTS, CUSTOMERS):
        firm.custody("ingest", str(firm.legacy.paths[source]), "--source", source)
    first = firm.start("ingest", source="chinook_customers")
    assert firm.ended(first)["state_type"] == "COMPLETED"
    folder = firm.home / "holding"
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "holding" / "sitecustomize.py", folder)
    for flow in FLOWS:
        path = f"/deployments/{firm.deployment(flow)['id']}"
        variables = {"env": {"PYTHONPATH": str(folder)}}
        status, answer = firm.call("PATCH", path, {"job_variables": variables})
        assert status == HTTPStatus.NO_CONTENT, answer
    (folder / "hold").touch()
    try:
        yield
    finally:
        (folder / "hold").unlink()


def start_one_of_each(firm: Firm) -> dict[str, str]:
    """Start one run of every flow, with something to do for each, and return their ids."""
    session = ("--session", str(firm.home / "demo" / "business.session"))
    asked = ("--dataset", "customers", "--purpose", "insurance_service", "--masked", "name")
    request = str(firm.custody("use", "request", *asked, *session)["request"])
    passed_on = ("--recipient", "rescue_partner", "--purpose", "partner_service")
    shown = ("--dataset", "customers", "--clear", "customer_no,name,mobile")
    firm.custody("transfer", "request", *passed_on, *shown, *session)  # its event starts the run
    return {
        "transfer": wait_until(lambda: firm.runs_of("transfer"), bool, pause=0.05)[0]["id"],
        "store": firm.start("store", batch_id=firm.batch("chinook_customers")),
        "ingest": firm.start("ingest", source="chinook_invoices"),
        "use": firm.start("use", request_id=request),
        "destroy": firm.start("destroy"),
        "turn": firm.start("turn", everything=True),
        "rekey": firm.start("rekey", suite="aes-256-gcm"),
        "retag": firm.start("retag"),
        "close-period": firm.start("close-period", period="2099Q4"),
    }


def kill_at_work(firm: Firm, started: Mapping[str, str]) -> None:
    """Kill, once the ledger has the start of every run, their worker, and then the runs."""

    def at_work() -> set[str]:
        known = runs_in_ledger(firm.house.custody)
        return {one.run_id for one in known if one.state == "RUNNING"}

    wait_until(at_work, set(started.values()).issubset, seconds=PATIENCE)
    numbers = [
        int(str(firm.run(run_id)["infrastructure_pid"]).rpartition(":")[2])
        for run_id in started.values()
    ]
    (worker,) = {parent_of(number) for number in numbers}
    for number in (worker, *numbers):
        os.kill(number, signal.SIGKILL)
    assert at_work() >= set(started.values())


def reconciled(firm: Firm, started: Mapping[str, str]) -> Told:
    """Let a minute pass for the leases, reconcile, and wait for what it started."""
    with transaction(firm.house.custody.data) as connection:
        connection.execute(
            text(
                "UPDATE run_leases SET seen_at = seen_at - interval '2 minutes' WHERE"
                " ended_at IS NULL"
            )
        )
    first = firm.ended(firm.start("reconcile"))
    again = {
        run["name"].partition(" ")[0]: run
        for run in wait_until(
            lambda: again_of(firm),
            lambda runs: all(one["state_type"] in ENDED for one in runs),
            seconds=PATIENCE,
        )
    }
    second = firm.ended(firm.start("reconcile"))
    return Told(
        killed={flow: firm.run(run_id) for flow, run_id in started.items()},
        again=again,
        ledger={one.run_id: one for one in runs_in_ledger(firm.house.custody)},
        at_work=[run for run in all_runs(firm) if run["state_type"] in AT_WORK],
        reconciled=first,
        second=second,
        verified=firm.custody("verify", "--deep", "--prefect"),
        batches=firm.custody("ingest", "list")["batches"],
    )


def all_runs(firm: Firm) -> list[Document]:
    return firm.ask("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 200})


def again_of(firm: Firm) -> list[Document]:
    return [run for run in all_runs(firm) if AGAIN in run["tags"]]


def test_no_run_stays_at_work(told: Told) -> None:
    assert told.at_work == []
    assert {run["state_type"] for run in told.killed.values()} == {"CRASHED"}
    assert told.reconciled["state_type"] == told.second["state_type"] == "COMPLETED"


def test_the_ledger_knows_every_end(told: Told) -> None:
    for flow, run in told.killed.items():
        entry = told.ledger[run["id"]]
        assert (entry.flow, entry.state) == (flow, "CRASHED")
        assert entry.facts["adopted"] == 1
        assert entry.ended_at is not None
    assert {one.state for one in told.ledger.values()} <= ENDED


def test_what_was_killed_is_done_by_another_run(told: Told) -> None:
    assert set(told.again) == set(told.killed)
    for flow, run in told.again.items():
        assert run["state_type"] == ENDS.get(flow, "COMPLETED"), (flow, run["state"])
        assert run["parameters"] == told.killed[flow]["parameters"]
    states = {one["source"]: one["state"] for one in told.batches}
    assert states["chinook_customers"] == "stored"
    assert states["chinook_invoices"] == "ingested"


def test_record_and_reality_are_one(told: Told) -> None:
    assert told.verified["ok"], told.verified
    assert told.verified["differences"] == []


def test_reconciling_twice_starts_nothing_twice(told: Told) -> None:
    assert len(told.again) == len(told.killed)


def test_each_run_says_its_code_deployment_parameters_and_acts(told: Told) -> None:
    code = {one.facts["code"] for one in told.ledger.values() if "code" in one.facts}
    assert len(code) == 1
    for flow, run in told.again.items():
        entry = told.ledger[run["id"]]
        assert entry.facts["deployment"] == run["deployment_id"]
        assert len(str(entry.facts["parameters"])) == 64
        assert entry.facts["retries"] == 0
        assert entry.how == "unidentified", flow
    stored = told.ledger[told.again["store"]["id"]].facts["acts"]
    assert stored["chunk:store:completed"] == 1
    assert stored["run:artifact:published"] == 1
