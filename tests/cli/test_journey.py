"""The whole journey of five customers' information, by the command line alone."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_firm import Firm, call
from small_firm import NUMBERS, consents_csv, customers_csv

from config.installation import open_installation
from custody.embedded.endpoints import PREFECT
from custody.embedded.postgres import EmbeddedPostgres
from flows.turn import turn
from tasks.context import custody


@pytest.fixture(scope="module")
def taken(firm: Firm) -> dict[str, Any]:
    """Return the batch of the five customers, whose consents were taken in before."""
    firm.do("ingest", str(firm.files / "consents.csv"), "--source", "legacy_consents")
    return firm.do("ingest", str(firm.files / "customers.csv"), "--source", "legacy_customers")


@pytest.fixture(scope="module")
def business(firm: Firm) -> str:
    return firm.login("王", "business")


@pytest.fixture(scope="module")
def approvers(firm: Firm) -> list[str]:
    return [firm.hire("赵", "approver"), firm.hire("钱", "approver")]


def test_what_is_sound_is_stored_and_what_is_not_is_held_with_its_code(
    taken: dict[str, Any],
) -> None:
    counts = {name: taken[name] for name in ("read", "accepted", "refused", "stored")}
    assert counts == {"read": 5, "accepted": 4, "refused": 1, "stored": 4}
    assert taken["reasons"] == {"resident_id_check_digit": 1}
    assert taken["dropped"] == {"social_account": 5}


def test_the_same_file_again_changes_nothing(firm: Firm, taken: dict[str, Any]) -> None:
    again = firm.do("ingest", str(firm.files / "customers.csv"), "--source", "legacy_customers")
    assert again["batch"] == taken["batch"]
    assert (again["read"], again["stored"], again["unchanged"]) == (0, 0, 5)


def test_tags_are_made_anew_and_the_same_file_still_changes_nothing(
    firm: Firm, taken: dict[str, Any]
) -> None:
    dry = firm.do("keys", "retag", "--dry-run")
    assert (dry["epoch"], dry["waiting"], dry["due"]) == (1, 0, False)
    assert firm.do("keys", "retag", "--if-due") == dry
    done = firm.do("keys", "retag")
    assert (done["epoch"], done["records"]) == (2, taken["stored"])
    assert done["references"] >= taken["stored"]
    assert firm.do("keys", "status")["identity_tags"]["epoch"] == 2
    again = firm.do("ingest", str(firm.files / "customers.csv"), "--source", "legacy_customers")
    assert (again["batch"], again["unchanged"]) == (taken["batch"], 5)
    assert firm.do("verify", "--deep")["ok"]


def test_a_use_is_granted_and_read_masked(firm: Firm, taken: dict[str, Any], business: str) -> None:
    wish = ("--dataset", taken["dataset"], "--purpose", "insurance_service")
    granted = firm.do(
        "use", "request", *wish, "--clear", "customer_no", "--masked", "name,mobile",
        "--session", business,
    )  # fmt: skip
    shown = firm.do("read", granted["grant"], "--session", business)
    assert {row["customer_no"] for row in shown["rows"]} == set(NUMBERS[:4])
    assert all("*" in row["mobile"] for row in shown["rows"])
    assert granted["request"] in str(firm.do("use", "list"))
    assert firm.do("use", "show", granted["request"])["state"] == "granted"


def test_a_transfer_goes_once_two_others_approved_it(
    firm: Firm, taken: dict[str, Any], business: str, approvers: list[str]
) -> None:
    wish = ("--dataset", taken["dataset"], "--purpose", "partner_service")
    asked = firm.do(
        "transfer", "request", *wish, "--recipient", "rescue_partner", "--clear", "name,mobile",
        "--session", business,
    )  # fmt: skip
    assert asked["rows"] == 4
    waiting = firm.refuse(4, "transfer", "deliver", asked["request"])
    assert waiting["state"] == "awaiting"
    shown = call("approve", asked["request"], "--key", approvers[0], "--yes")
    assert shown.code == 0, shown.err
    for what in ("rescue_partner", "name", asked["digest"], "CN"):
        assert what in shown.out
    voted = firm.do("approve", asked["request"], "--key", approvers[1], "--yes")
    assert voted["state"] == "approved"
    assert voted["announced"] is True
    delivered = firm.do("transfer", "deliver", asked["request"])
    assert (delivered["state"], delivered["rows"]) == ("delivered", 4)
    assert list(firm.home.glob("outbox/req_*/customers.csv.age"))
    assert firm.do("explain", asked["request"])["state"] == "delivered"


def test_a_withdrawal_is_planned_applied_and_certified(firm: Firm, taken: dict[str, Any]) -> None:
    found = firm.do(
        "customer", "find", "--reference", f"customer_no={NUMBERS[0]}", "--source", taken["source"]
    )
    customer = found["customer"]
    firm.do("consent", "withdraw", customer, "--purpose", "insurance_service")
    hold = firm.do("hold", "add", customer, "--reason", "court order 17")
    assert firm.do("destroy", "plan")["records"] == 0
    firm.do("hold", "lift", hold["hold"])
    plan = firm.do("destroy", "plan")
    assert plan["records"] == 1
    applied = firm.do("destroy", "apply", plan["plan"])
    assert applied["state"] == "applied"
    certificate = firm.do("certificate", "show", plan["plan"])
    assert certificate["outcomes"] == {"destroyed": 1}
    file = firm.files / "certificate.json"
    file.write_text(call("certificate", "show", plan["plan"], "--json").out, encoding="utf-8")
    assert firm.do("certificate", "verify", str(file))["certificate"] == certificate["certificate"]
    for altered in ({"outcomes": {"destroyed": 2}}, {"issued_at": "2020-01-01"}, {"holds": 0}):
        file.write_text(json.dumps(certificate | altered), encoding="utf-8")
        told = firm.refuse(2, "certificate", "verify", str(file))["error"]["message"]
        assert next(iter(altered)) in told
    assert firm.do("customer", "show", customer)["records"] == {}


def test_a_batch_of_which_too_much_fails_waits_at_its_gate(firm: Firm) -> None:
    """Of two customers one is broken, which is more than the firm lets pass that day."""
    consents, customers = firm.files / "two-consents.csv", firm.files / "two-customers.csv"
    consents.write_text(consents_csv((6, 7)), encoding="utf-8")
    customers.write_text(customers_csv((6, 7), broken=7), encoding="gb18030")
    firm.do("ingest", str(consents), "--source", "legacy_consents")
    house = firm.home / "policy" / "quality" / "house.yaml"
    usual = house.read_text(encoding="utf-8")
    _put_in_force(house, usual.replace("permille: 500", "permille: 499"))
    told = firm.refuse(5, "ingest", str(customers), "--source", "legacy_customers")["error"]
    assert told["code"] == "quality_gate"
    (reason,) = told["reasons"]
    assert (reason["code"], reason["count"]) == ("resident_id_check_digit", 1)
    batch = firm.do("ingest", "list")["batches"][-1]
    assert (batch["state"], batch["accepted"], batch["stored"]) == ("stopped", 1, 0)
    assert firm.refuse(5, "store", batch["batch"])["error"]["reasons"] == [reason]
    _put_in_force(house, usual)
    assert firm.do("store", batch["batch"])["stored"] == 1
    explained = firm.do("explain", batch["batch"])["quality"]
    assert [one["verdict"] for one in explained] == ["failed", "warned", "passed"]
    page = firm.files / "quality.html"
    found = firm.do("quality", "results", batch["batch"], "--html", str(page))
    told_of = [(one["stage"], one["verdict"]) for one in found["results"]]
    assert told_of == [("ingest", "failed"), ("ingest", "warned"), ("store", "passed")]
    failed = firm.do("quality", "results", batch["batch"], "--failed")["checks"]
    check = next(one for one in failed if one["failed"])
    assert (check["check"], check["owner"]) == ("resident_id.resident_id_check_digit", "engineer")
    shown = page.read_text(encoding="utf-8")
    assert "resident_id.resident_id_check_digit" in shown
    assert not [one for one in ("http://", "https://", "<script", "src=") if one in shown]


def _put_in_force(document: Path, text: str) -> None:
    """Change the policy; the next command's process would read it, and so does this one."""
    document.write_text(text, encoding="utf-8")
    open_installation.cache_clear()
    custody.cache_clear()


def test_everything_verifies_also_against_prefect(firm: Firm, taken: dict[str, Any]) -> None:
    verified = firm.do("verify", "--deep", "--prefect")
    assert verified["ok"] is True
    assert verified["runs"] >= 4
    assert taken["batch"] in str(firm.do("ingest", "list"))


def test_after_a_month_prefect_is_thrown_away_and_everything_is_answered(
    firm: Firm, taken: dict[str, Any]
) -> None:
    """Runs of thirty days by the real server; then its database is dropped, server and all."""
    for _ in range(30):
        turn()
    before = _answers(firm, taken["batch"])
    assert {name.partition("_")[0] for name in before} == {"req", "grant", "plan", "cert", "batch"}
    known = firm.do("history", "list", "--newest", "1000")
    assert known["known"] > 30
    server = EmbeddedPostgres(firm.home)
    with psycopg.connect(server.admin_conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {PREFECT} WITH (FORCE)")
    assert firm.do("verify", "--deep")["ok"]
    assert firm.do("history", "list", "--newest", "1000") == known
    assert _answers(firm, taken["batch"]) == before


def _answers(firm: Firm, batch: str) -> dict[str, Any]:
    """Return what is explained of every kind of thing, by its name."""
    uses, plans = firm.do("use", "list"), firm.do("destroy", "list")["plans"]
    names = [batch, *(one["plan"] for one in plans)]
    names += [firm.do("certificate", "show", one["plan"])["certificate"] for one in plans[-1:]]
    names += [one["request"] for one in firm.do("transfer", "list")["requests"]]
    names += [one["grant"] for one in uses["grants"]]
    return {name: firm.do("explain", name) for name in names}
