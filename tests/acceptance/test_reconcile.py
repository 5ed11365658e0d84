"""Runs killed at work, and their worker with them: record and reality come together again.

One run of each flow is stopped by SIGSTOP once the ledger has its start, so that it is at work;
then the worker is killed, and the runs. ``custody up`` ends, for its worker is gone, and is begun
again.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
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
AT_WORK = {"RUNNING", "PENDING", "CANCELLING"}
AGAIN = "again:1"
# What a run of it comes to when it is left alone; 2099 is not over.
ENDS = {"close-period": "FAILED"}


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
            with up(firm, ends=1):
                started = start_one_of_each(firm)
                kill_at_work(firm, started)
            with up(firm):
                yield reconciled(firm, started)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def start_one_of_each(firm: Firm) -> dict[str, str]:
    """Start one run of every flow, with something to do for each, and return their ids."""
    for source in (CONSENTS, CUSTOMERS):
        firm.custody("ingest", str(firm.legacy.paths[source]), "--source", source)
    first = firm.start("ingest", source="chinook_customers")
    assert firm.ended(first)["state_type"] == "COMPLETED"
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
    """Stop every run once the ledger has its start, kill their worker, then the runs."""
    custody = firm.house.custody
    stopped: dict[str, int] = {}

    def stop_those_at_work() -> int:
        begun = {one.run_id for one in runs_in_ledger(custody) if one.state == "RUNNING"}
        for run_id in begun & set(started.values()) - set(stopped):
            number = int(str(firm.run(run_id)["infrastructure_pid"]).rpartition(":")[2])
            os.kill(number, signal.SIGSTOP)
            stopped[run_id] = number
        return len(stopped)

    wait_until(stop_those_at_work, len(started).__eq__, pause=0.05)
    (worker,) = {parent_of(number) for number in stopped.values()}
    os.kill(worker, signal.SIGKILL)
    for number in stopped.values():
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    known = {one.run_id: one for one in runs_in_ledger(custody)}
    assert {known[run_id].state for run_id in started.values()} == {"RUNNING"}


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
            lambda: again_of(firm), lambda runs: all(one["state_type"] in ENDED for one in runs)
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
