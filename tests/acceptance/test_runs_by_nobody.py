"""Runs that nobody starts: a transfer by its events, and the purge by its schedule."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from schedules import deployment_named, wait_for_scheduled_runs
from standing_firm import Document, Firm, wait_until

from custody.acts.overview import overview
from custody.acts.request_views import request_state
from custody.demo.lines import CONSENTS, CUSTOMERS
from custody.identifiers import REQUEST, read_id

pytestmark = pytest.mark.slow
DELIVERED = "transfer:package:delivered"
APPROVERS = ("approver", "second_approver")


@pytest.fixture(scope="module")
def taken_in(firm: Firm) -> Firm:
    """Take in the consents and the customers by command, while custody is up."""
    for source in (CONSENTS, CUSTOMERS):
        firm.custody("ingest", str(firm.legacy.paths[source]), "--source", source)
    return firm


@pytest.fixture(scope="module")
def filed(taken_in: Firm) -> str:
    """Ask for a transfer, signed, and return the request."""
    document = taken_in.custody(
        *("transfer", "request", "--recipient", "rescue_partner", "--dataset", "customers"),
        *("--purpose", "partner_service", "--clear", "customer_no,name,mobile"),
        *("--session", str(taken_in.home / "demo" / "business.session")),
    )
    assert (document["state"], document["announced"]) == ("filed", True)
    return str(document["request"])


@pytest.fixture(scope="module")
def delivered(taken_in: Firm, filed: str) -> Document:
    """Let two people vote, wait for the delivery, and return the request."""
    in_state(taken_in, filed, "awaiting")
    for name in APPROVERS:
        vote(taken_in, filed, name)
    return in_state(taken_in, filed, "delivered")


def in_state(firm: Firm, request: str, state: str) -> Document:
    """Wait until a request has come that far, and return it as people are shown it."""
    custody, request_id = firm.house.custody, read_id(REQUEST, request)
    wait_until(lambda: request_state(custody, request_id), lambda seen: seen[1] == state)
    return firm.custody("transfer", "show", request)


def vote(firm: Firm, request: str, name: str) -> Document:
    folder = firm.home / "demo"
    key = ("--key", str(folder / f"{name}.key"))
    words = ("--person-passphrase-file", str(folder / f"{name}.passphrase"))
    return firm.custody("approve", request, *key, *words, "--yes")


def runs_about(firm: Firm, request: str) -> list[Document]:
    return [
        run for run in firm.runs_of("transfer") if run["parameters"].get("request_id") == request
    ]


def packages(home: Path) -> list[Path]:
    return sorted((home / "outbox").rglob("*.age"))


def test_filing_starts_the_deployed_flow_and_the_second_vote_delivers(
    firm: Firm, filed: str, delivered: Document
) -> None:
    runs = wait_until(lambda: runs_about(firm, filed), lambda seen: len(seen) == 2)
    ended = [firm.ended(run["id"]) for run in runs]
    assert {run["state_type"] for run in ended} == {"COMPLETED"}
    assert delivered["state"] == "delivered"
    assert {run["created_by"]["type"] for run in ended} == {"AUTOMATION"}
    for run in ended:
        established = {(body["how"], body["actor"]) for _, body in firm.ledger(run["id"])}
        assert len(established) == 1
        how, actor = established.pop()
        assert how == "event"
        assert actor in {"transfer filed", "transfer approved"}


def test_exactly_one_package_goes_even_if_everything_is_announced_again(
    firm: Firm, filed: str, delivered: Document
) -> None:
    assert delivered["state"] == "delivered"
    assert len(packages(firm.home)) == 1
    again = firm.ended(firm.start("transfer", request_id=filed))
    assert again["state_type"] == "COMPLETED"
    assert len(packages(firm.home)) == 1
    events = [event for event, _ in firm.ledger()]
    assert [event for event in events if "deliver" in event] == [DELIVERED]


def test_the_scheduled_purge_destroys_what_is_due_and_is_recorded_as_such(
    firm: Firm,
    runs: dict[str, str],  # noqa: ARG001 - Chinook's invoices are stored
) -> None:
    """Its time is moved to now: waiting for two in the morning would take too long."""
    held = overview(firm.house.custody).records
    deployment = deployment_named(firm.api, "destroy", "destroy")
    run_id = wait_for_scheduled_runs(firm.api, deployment)[0]["id"]
    now = {"scheduled_time": datetime.now(UTC).isoformat()}
    state = {"type": "SCHEDULED", "name": "Scheduled", "state_details": now}
    firm.ask(f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
    run = firm.ended(run_id)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed")
    destroyed = held - overview(firm.house.custody).records
    assert 0 < destroyed < held
    pages = firm.artifacts(run_id)
    assert sorted(page.split("`")[0] for page in pages) == ["# destroy ", "# turn "]
    assert any(f"| destroyed | {destroyed} |" in page for page in pages)
    entries = firm.ledger(run_id)
    assert {(body["how"], body["actor"]) for _, body in entries} == {("schedule", "")}
    assert {"run:flow:started", "run:flow:ended"} < {event for event, _ in entries}
