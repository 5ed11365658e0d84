"""Runs killed at work, and their worker with them: record and reality come together again.

One run of each flow is stopped by SIGSTOP once the ledger has its start, so that it is at work;
then the worker is killed, and the runs. ``custody up`` ends, for its worker is gone, and is begun
again. A run that ended before it could be stopped is begun anew.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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
PATIENCE = 300.0  # seconds, for nine runs starting together on two cores
Start = Callable[[], str]


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
                started = kill_at_work(firm, ready_one_of_each(firm))
            with up(firm):
                yield reconciled(firm, started)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def ready_one_of_each(firm: Firm) -> dict[str, Start]:
    """Give every flow something to do, and return by flow what starts a run of it."""
    for source in (CONSENTS, CUSTOMERS):
        firm.custody("ingest", str(firm.legacy.paths[source]), "--source", source)
    first = firm.start("ingest", source="chinook_customers")
    assert firm.ended(first)["state_type"] == "COMPLETED"
    session = ("--session", str(firm.home / "demo" / "business.session"))
    asked = ("--dataset", "customers", "--purpose", "insurance_service", "--masked", "name")
    request = str(firm.custody("use", "request", *asked, *session)["request"])
    passed_on = ("--recipient", "rescue_partner", "--purpose", "partner_service")
    shown = ("--dataset", "customers", "--clear", "customer_no,name,mobile")
    batch = firm.batch("chinook_customers")

    def asking_for_a_transfer() -> str:
        """Ask for a transfer: its event starts the run."""
        asking = str(firm.custody("transfer", "request", *passed_on, *shown, *session)["request"])
        return wait_until(
            lambda: [
                str(run["id"])
                for run in firm.runs_of("transfer")
                if run["parameters"]["request_id"] == asking
            ],
            bool,
            pause=0.05,
        )[0]

    return {
        "transfer": asking_for_a_transfer,
        "store": partial(firm.start, "store", batch_id=batch),
        "ingest": partial(firm.start, "ingest", source="chinook_invoices"),
        "use": partial(firm.start, "use", request_id=request),
        "destroy": partial(firm.start, "destroy"),
        "turn": partial(firm.start, "turn", everything=True),
        "rekey": partial(firm.start, "rekey", suite="aes-256-gcm"),
        "retag": partial(firm.start, "retag"),
        "close-period": partial(firm.start, "close-period", period="2099Q4"),
    }


@dataclass(kw_only=True)
class Stopping:
    """One run of each flow on its way to being stopped at work."""

    firm: Firm
    starts: Mapping[str, Start]
    started: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=dict)

    def all_are_stopped(self) -> bool:
        """Start what is not, stop what is at work, and say whether that is a run of each flow."""
        for flow in self.starts.keys() - self.started.keys():
            self.started[flow] = self.starts[flow]()
        known = {one.run_id: one.state for one in runs_in_ledger(self.firm.house.custody)}
        for flow in self.started.keys() - self.stopped.keys():
            if known.get(self.started[flow]) in {"RUNNING", *ENDED}:
                self.stop(flow)
        if others_wait_for_a_lock(self.firm):  # held by one stopped in a transaction
            for flow in set(self.stopped):
                self.let_go(flow)
        # The ledger has the end of a run a moment after Prefect.
        for flow in set(self.stopped):
            if self.firm.run(self.started[flow])["state_type"] in ENDED:
                self.let_go(flow)
                del self.started[flow]
        return self.stopped.keys() == self.starts.keys()

    def stop(self, flow: str) -> None:
        run = self.firm.run(self.started[flow])
        self.stopped[flow] = int(str(run["infrastructure_pid"]).rpartition(":")[2])
        with suppress(ProcessLookupError):
            os.kill(self.stopped[flow], signal.SIGSTOP)

    def let_go(self, flow: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.stopped.pop(flow), signal.SIGCONT)


def kill_at_work(firm: Firm, starts: Mapping[str, Start]) -> dict[str, str]:
    """Stop a run of every flow once the ledger has its start, kill their worker, then the runs."""
    stopping = Stopping(firm=firm, starts=starts)
    wait_until(stopping.all_are_stopped, bool, seconds=PATIENCE, pause=0.05)
    (worker,) = {parent_of(number) for number in stopping.stopped.values()}
    os.kill(worker, signal.SIGKILL)
    for number in stopping.stopped.values():
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    known = {one.run_id: one for one in runs_in_ledger(firm.house.custody)}
    assert {known[run_id].state for run_id in stopping.started.values()} == {"RUNNING"}
    return stopping.started


def others_wait_for_a_lock(firm: Firm) -> bool:
    with transaction(firm.house.custody.data) as connection:
        waiting = connection.scalar(
            text(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database()"
            )
        )
    return bool(waiting)


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
    acts = [one.facts["acts"] for one in told.ledger.values() if one.flow == "store"]
    assert {one["chunk:store:completed"] for one in acts if "chunk:store:completed" in one} == {1}
    assert told.ledger[told.again["store"]["id"]].facts["acts"]["run:artifact:published"] == 1
