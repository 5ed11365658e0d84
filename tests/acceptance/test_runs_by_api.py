"""Flows started by deployment name through Prefect's own API, as its UI starts them."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_databases import Databases
from standing_firm import CHINOOK_FILE, TESTER, Document, Firm, clean_environment, run_custody

from config.installation import places
from config.settings import Settings
from custody.acts.batches import receipts_of, total
from custody.acts.context import Custody
from custody.acts.overview import overview
from custody.acts.setup import close_custody, create_installation, open_custody
from custody.database.batches import list_batches
from custody.database.engine import transaction
from custody.embedded.access import password_file
from custody.embedded.home import Home
from custody.embedded.runtime import Running

pytestmark = pytest.mark.slow
NAME = "王小明"
NUMBER = "110101199003074477"
WRONG = (
    ("ingest", {"source": NUMBER}),
    ("ingest", {"source": f"{NAME}.csv"}),
    ("ingest", {"source": "chinook_customers", "batch_id": NUMBER}),
    ("ingest", {"source": "chinook_customers", "file": f"/data/{NAME}.csv"}),
    ("ingest", {}),
    ("store", {"batch_id": NAME}),
    ("destroy", {"plan_id": NAME}),
    ("use", {"request_id": NAME}),
    ("use", {"draft": {"dataset": "customers", "purpose": NAME, "fields": ["name"]}}),
    ("use", {"draft": {"dataset": "customers", "purpose": "profiling", "fields": []}}),
    ("transfer", {"draft": {"dataset": "customers", "purpose": "partner_service", "for": NAME}}),
    ("turn", {"everything": NAME}),
    ("close-period", {"period": NAME}),
    ("rekey", {"suite": NAME}),
    ("retag", {"only_if_due": NAME}),
)


def counts(custody: Custody) -> dict[str, Document]:
    """Return what became of the rows of each source of Chinook, and what is held."""
    with transaction(custody.data) as connection:
        batches = [one for one in list_batches(connection) if one.source.startswith("chinook")]
    receipts = {one.source: total(one.id, receipts_of(custody, one.id)) for one in batches}
    return {
        source: {
            "state": receipt.state,
            "rows": (receipt.read, receipt.accepted, receipt.refused, receipt.stored),
            "reasons": dict(receipt.reasons),
            "dropped": dict(receipt.dropped),
        }
        for source, receipt in receipts.items()
    }


@pytest.fixture
def elsewhere(firm: Firm, databases: Databases, short_tmp: Path) -> Iterator[Custody]:
    """Return another installation, with the same policy, that took Chinook in by the CLI."""
    home = Home.open(short_tmp / "home").path
    (home / "keys").mkdir(mode=0o700)
    shutil.copytree(firm.home / "policy", home / "policy")
    settings = Settings(home=home)
    where = Running(database_url=databases.app_url, keys_url=databases.keys_url)
    policy, clock = firm.house.custody.policy, firm.house.custody.clock
    create_installation(places(settings, where), policy, TESTER, clock, synthetic=True)
    environment = clean_environment(
        home,
        CUSTODY_DATABASE_URL=databases.app_url,
        CUSTODY_KEYS_URL=databases.keys_url,
        PREFECT_API_URL=firm.address["api"],
        PREFECT_API_AUTH_STRING=password_file(Home.open(firm.home)).read_text().strip(),
        CUSTODY_CHINOOK_URL=f"sqlite:///{firm.home}/demo/{CHINOOK_FILE}",
    )
    for source in ("chinook_customers", "chinook_invoices"):
        run_custody(environment, "ingest", "--source", source)
    custody = open_custody(places(settings, where), policy, clock, environment=os.environ)
    yield custody
    close_custody(custody)


def test_what_the_worker_takes_in_is_what_the_command_line_takes_in(
    firm: Firm, runs: dict[str, str], elsewhere: Custody
) -> None:
    here = counts(firm.house.custody)
    assert here == counts(elsewhere)
    assert here["chinook_invoices"]["rows"][0] == 412
    assert {part["state"] for part in here.values()} == {"stored"}
    for name in ("ingest", "store", "second ingest", "second store"):
        assert firm.run(runs[name])["state_name"] == "Completed"
    assert overview(elsewhere).records > 400


@pytest.mark.parametrize("kind", ["use", "transfer"])
def test_what_the_run_form_asks_for_is_a_draft(firm: Firm, runs: dict[str, str], kind: str) -> None:
    run = firm.run(runs[f"{kind} draft"])
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Draft")
    request = run["state"]["message"]
    document = firm.custody(kind, "show", request)
    assert (document["request"], document["state"]) == (request, "draft")
    assert [body["how"] for _, body in firm.ledger(run["id"])] == ["unidentified"] * 4
    assert {body["actor"] for _, body in firm.ledger(run["id"])} == {""}


@pytest.mark.parametrize("what", ["batch", "plan", "request"])
def test_an_unknown_identifier_fails_the_run_and_names_it(
    firm: Firm, runs: dict[str, str], what: str
) -> None:
    run = firm.run(runs[f"unknown {what}"])
    assert run["state_type"] == "FAILED"
    assert run["state"]["message"].startswith(
        f"Flow run encountered an exception: UsageError: no such {what}"
    )
    assert [event for event, _ in firm.ledger(run["id"])] == ["run:flow:started", "run:flow:ended"]


def test_an_empty_form_says_what_is_missing(firm: Firm, runs: dict[str, str]) -> None:
    run = firm.run(runs["empty form"])
    assert run["state_type"] == "FAILED"
    assert "either name a request that was filed, or fill in a draft" in run["state"]["message"]


def test_keys_are_kept_by_deployment(firm: Firm, runs: dict[str, str]) -> None:
    for name in ("turn", "rekey", "retag"):
        assert firm.run(runs[name])["state_name"] == "Completed"
    (turned,), (renewed,) = firm.artifacts(runs["turn"]), firm.artifacts(runs["rekey"])
    assert re.search(r"\| keys \| [1-9]", turned)
    assert re.search(r"\| seals \| [1-9].*\n\| amiss \| 0 ", renewed)
    lasting = firm.run(runs["lasting period"])
    assert lasting["state_type"] == "FAILED"
    assert "the period is not over yet" in lasting["state"]["message"]


@pytest.mark.parametrize(("stage", "parameters"), WRONG)
def test_wrong_parameters_are_refused_and_kept_nowhere(
    firm: Firm, stage: str, parameters: Document
) -> None:
    """Prefect's answer repeats the value to whoever sent it; nobody else may ever see it."""
    before = firm.ask("/flow_runs/count", {})
    path = f"/deployments/{firm.deployment(stage)['id']}/create_flow_run"
    status, answer = firm.call("POST", path, {"parameters": parameters})
    assert status == 409
    assert "Validation failed" in answer["detail"]
    assert firm.ask("/flow_runs/count", {}) == before
    for log in (firm.home / "log").iterdir():
        kept = log.read_text(encoding="utf-8", errors="replace")
        assert NAME not in kept
        assert NUMBER not in kept
