"""What is left of runs: readable names, counts with reasons, and a ledger to hold them to."""

import re
import sqlite3

import pytest
from standing_firm import CHINOOK_FILE, STAGES, UPKEEP, Firm

pytestmark = pytest.mark.slow
NAMED = re.compile(rf"^({'|'.join(STAGES + UPKEEP)})( · \S+)* · \d\d-\d\d \d\d:\d\d:\d\d \+08:00$")
ROW = re.compile(r"^\| `?[a-z_]+`? \|( [^|]+ \|)? [0-9,]+ \|$")


def personal_values(firm: Firm) -> set[str]:
    """Return every name, address and number of Chinook's customers."""
    with sqlite3.connect(firm.home / "demo" / CHINOOK_FILE) as connection:
        rows = connection.execute(
            'SELECT "FirstName", "LastName", "Email", "Address", "Phone" FROM "Customer"'
        ).fetchall()
    # Short names may stand in any word.
    return {value for row in rows for value in row if value and len(value) > 6}


def untouched(runs: dict[str, str]) -> dict[str, str]:
    """Return the runs that no test changes in Prefect."""
    return {name: run_id for name, run_id in runs.items() if name != "tampered with"}


def test_runs_have_readable_names_with_beijing_time(firm: Firm, runs: dict[str, str]) -> None:
    names = [firm.run(run_id)["name"] for run_id in untouched(runs).values()]
    assert [name for name in names if not NAMED.match(name)] == []
    assert any(name.startswith("ingest · chinook_customers · ") for name in names)


@pytest.mark.parametrize("name", ["ingest", "store", "second ingest", "second store"])
def test_a_run_leaves_its_counts_and_reasons(firm: Firm, runs: dict[str, str], name: str) -> None:
    (page,) = firm.artifacts(runs[name])
    lines = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    numbers = [line for line in lines if ROW.match(line)]
    headings = [line for line in lines if not ROW.match(line)]
    assert all(line.startswith(("| count 计数", "| code 代码")) for line in headings), headings
    assert any(line.startswith("| read |") for line in numbers)


@pytest.mark.parametrize("kind", ["use", "transfer"])
def test_a_draft_says_how_to_sign_it(firm: Firm, runs: dict[str, str], kind: str) -> None:
    (page,) = firm.artifacts(runs[f"{kind} draft"])
    request = firm.run(runs[f"{kind} draft"])["state"]["message"]
    assert f"`custody {kind} sign {request}`" in page


def test_nothing_that_prefect_keeps_of_a_run_holds_a_value(
    firm: Firm, runs: dict[str, str]
) -> None:
    values = personal_values(firm)
    assert len(values) > 150
    for name, run_id in untouched(runs).items():
        told = firm.told(run_id)
        assert {value for value in values if value in told} == set(), name
        assert run_id in told


def test_a_history_that_was_tampered_with_is_noticed(firm: Firm, runs: dict[str, str]) -> None:
    assert firm.custody("verify", "--prefect")["differences"] == []
    run_id = runs["tampered with"]
    state = {"state": {"type": "COMPLETED", "name": "Completed"}, "force": True}
    firm.ask(f"/flow_runs/{run_id}/set_state", state)
    forced = firm.custody("verify", "--prefect", code=1)
    assert not forced["ok"]
    assert forced["differences"] == [
        f"run {run_id}: use FAILED in the ledger, use COMPLETED in Prefect"
    ]
    assert firm.call("DELETE", f"/flow_runs/{run_id}")[0] == 204
    deleted = firm.custody("verify", "--prefect", code=1)
    assert deleted["differences"] == [f"run {run_id}: Prefect has no such run"]
