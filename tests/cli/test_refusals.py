"""Refusals: their exit codes, every reason, in both languages, with the next step."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from cli_firm import Firm, call
from small_firm import consents_csv, customers_csv


@pytest.fixture(scope="module")
def customers(firm: Firm) -> str:
    """Return the purpose under which the five customers are there."""
    firm.do("ingest", str(firm.files / "consents.csv"), "--source", "legacy_consents")
    firm.do("ingest", str(firm.files / "customers.csv"), "--source", "legacy_customers")
    return "insurance_service"


@pytest.fixture
def customer(firm: Firm, customers: str) -> str:
    """Return one of the five."""
    assert customers
    known = ("--reference", "customer_no=K900003", "--source", "legacy_customers")
    return str(firm.do("customer", "find", *known)["customer"])


@pytest.fixture(scope="module")
def business(firm: Firm) -> str:
    return firm.login("王", "business")


def codes(document: dict[str, object]) -> set[str]:
    error = document["error"]
    assert isinstance(error, dict)
    return {reason["code"] for reason in error["reasons"]}


def test_a_use_beyond_its_purpose_is_refused_with_every_reason(
    firm: Firm, customers: str, business: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "health_note,phone")
    told = firm.refuse(3, "use", "request", *wish, "--session", business)
    assert {"fields_not_necessary", "level_not_permitted"} <= codes(told)
    request = told["error"]["subject"]
    assert codes_of_request(firm, request) >= {"fields_not_necessary", "level_not_permitted"}


def codes_of_request(firm: Firm, request: str) -> set[str]:
    return {reason["code"] for reason in firm.do("explain", request)["reasons"]}


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", ("why:", "next:", "H1.3b", "Management measures")), ("zh", ("原因", "下一步", "办法"))],
)
def test_a_refusal_names_what_why_the_rule_and_the_next_step(
    customers: str, business: str, lang: str, words: tuple[str, ...]
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "phone")
    outcome = call("use", "request", *wish, "--session", business, "--lang", lang)
    assert outcome.code == 3
    assert outcome.out == ""
    for word in (*words, "fields_not_necessary (phone)"):
        assert word in outcome.err


def test_a_clear_use_of_sensitive_fields_waits_for_two_people(
    firm: Firm, customers: str, business: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "resident_id")
    waiting = firm.refuse(4, "use", "request", *wish, "--session", business)
    assert waiting["state"] == "awaiting"
    assert waiting["next"] == f"custody approve {waiting['request']}"
    again = firm.refuse(4, "use", "grant", waiting["request"])
    assert again["state"] == "awaiting"


def test_two_people_approve_a_clear_use_and_a_third_is_too_late(
    firm: Firm, customers: str, business: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "resident_id")
    request = firm.refuse(4, "use", "request", *wish, "--session", business)["request"]
    for name in ("赵", "钱"):
        voted = firm.do("approve", request, "--key", firm.hire(name, "approver"), "--yes")
    assert voted["next"] == f"custody use grant {request}"
    granted = firm.do("use", "grant", request)
    shown = firm.do("read", granted["grant"], "--session", business)
    assert all(len(row["resident_id"]) == 18 for row in shown["rows"])
    late = firm.refuse(3, "reject", request, "--key", str(firm.officer_key), "--yes")
    assert codes(late) == {"request_not_open"}


def test_a_rejection_ends_a_transfer(firm: Firm, customers: str, business: str) -> None:
    wish = ("--dataset", "customers", "--purpose", "partner_service", "--clear", "name")
    assert customers
    asked = firm.do(
        "transfer", "request", *wish, "--recipient", "rescue_partner", "--session", business
    )
    firm.refuse(4, "transfer", "deliver", asked["request"])
    key = firm.hire("赵", "approver")
    assert firm.do("reject", asked["request"], "--key", key, "--yes")["state"] == "rejected"
    assert codes(firm.refuse(3, "transfer", "deliver", asked["request"])) == {"request_not_open"}


def test_a_transfer_to_a_partner_whose_contract_is_over_is_refused(
    firm: Firm, customers: str, business: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", "partner_service", "--clear", "name")
    assert customers
    asked = firm.do(
        "transfer", "request", *wish, "--recipient", "expired_partner", "--session", business
    )
    told = firm.refuse(3, "transfer", "deliver", asked["request"])
    assert "contract_not_in_force" in codes(told)


def test_nobody_votes_by_name_with_a_wrong_passphrase_or_unseen(
    firm: Firm, customers: str, business: str, tmp_path: Path
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "resident_id")
    request = firm.refuse(4, "use", "request", *wish, "--session", business)["request"]
    key = firm.hire("赵", "approver")
    wrong = tmp_path / "wrong"
    wrong.write_text("other words\n", encoding="utf-8")
    tried = ("approve", request, "--key", key, "--person-passphrase-file", str(wrong))
    assert firm.refuse(1, *tried, "--yes")["error"]["code"] == "person_key"
    assert firm.refuse(2, "approve", request, "--key", key)["error"]["code"] == "usage"
    own = firm.refuse(3, "approve", request, "--key", firm.hire("王", "business"), "--yes")
    assert {"role_not_permitted", "requester_is_approver"} <= codes(own)


def test_a_third_officer_needs_anothers_signature(firm: Firm) -> None:
    staff = firm.do("staff", "add", "--name", "吴", "--department", "d", "--role", "head")
    key = str(firm.home / "people" / "alone.key")
    told = firm.refuse(3, "staff", "enrol", staff["staff"], "--key", key)
    assert codes(told) == {"enrolment_needs_officer"}


def test_who_left_is_refused(firm: Firm, customers: str) -> None:
    session = firm.login("周", "business")
    listed = {one["name"]: one["staff"] for one in firm.do("staff", "list")["staff"]}
    firm.do("staff", "deactivate", listed["周"])
    wish = ("--dataset", "customers", "--purpose", customers, "--masked", "name")
    told = firm.refuse(3, "use", "request", *wish, "--session", session)
    assert "staff_inactive" in codes(told)


def test_a_plan_of_the_future_is_not_applied_to_real_people(firm: Firm, customer: str) -> None:
    ahead = (date.today() + timedelta(days=4000)).isoformat()  # noqa: DTZ011 - far enough
    event = firm.do("event", customer, "relationship_ended", "--on", "2026-02-01")
    assert event["records"] == 1
    plan = firm.do("destroy", "plan", "--as-of", ahead)
    assert plan["records"] >= 1
    assert "plan_in_future" in codes(firm.refuse(3, "destroy", "apply", plan["plan"]))


def test_an_event_of_tomorrow_has_not_happened(firm: Firm, customer: str) -> None:
    ahead = (date.today() + timedelta(days=2)).isoformat()  # noqa: DTZ011 - in any zone
    told = firm.refuse(2, "event", customer, "relationship_ended", "--on", ahead)
    assert "once it has happened" in told["error"]["message"]


def test_the_reason_of_a_hold_holds_nobodys_number(firm: Firm, customer: str) -> None:
    reason = "court case of 11010519491231002X"
    told = json.dumps(firm.refuse(2, "hold", "add", customer, "--reason", reason))
    assert "11010519491231002X" not in told
    assert firm.do("hold", "list")["holds"] == []


def test_a_source_without_rows_fails_its_quality_gate(firm: Firm, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    header = customers_csv([1], broken=0).splitlines()[0]
    empty.write_bytes(f"{header}\n".encode("gb18030"))
    for more in ((), ("--dry-run",)):
        told = firm.refuse(5, "ingest", str(empty), "--source", "legacy_customers", *more)
        assert codes(told) == {"source_empty"}


def test_what_was_done_stays_verifiable_under_a_policy_that_is_not_in_order(
    firm: Firm, customers: str
) -> None:
    assert customers
    document = firm.home / "policy" / "settings.yaml"
    kept = document.read_text(encoding="utf-8")
    document.write_text(kept.replace("log_retention_years: 10", "log_retention_years: 1"))
    try:
        assert firm.refuse(2, "status")["error"]["code"] == "policy_invalid"
        verified = firm.do("verify", "--deep")
        assert "not in order" in call("verify").err
    finally:
        document.write_text(kept, encoding="utf-8")
    assert verified["ok"] is True
    assert verified["records"] > 0


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-29"])
def test_a_day_beyond_reckoning_is_wrong_usage(
    firm: Firm, customers: str, business: str, day: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--masked", "name")
    for words in (
        ("destroy", "plan", "--as-of", day),
        ("use", "request", *wish, "--until", day, "--session", business),
    ):
        assert firm.refuse(2, *words)["error"]["code"] == "usage"


def test_rows_without_a_lawful_basis_are_refused_and_without_quality_too(
    firm: Firm, tmp_path: Path
) -> None:
    nobody = tmp_path / "nobody.csv"
    nobody.write_bytes(customers_csv([6], broken=0).encode("gb18030"))
    told = firm.refuse(3, "ingest", str(nobody), "--source", "legacy_customers")
    assert "consent_missing" in codes(told)
    broken = tmp_path / "broken.csv"
    broken.write_bytes(customers_csv([5], broken=5).encode("gb18030"))
    tried = firm.do("ingest", str(broken), "--source", "legacy_customers", "--dry-run")
    assert (tried["accepted"], tried["refused"]) == (0, 1)
    told = firm.refuse(5, "ingest", str(broken), "--source", "legacy_customers")
    assert codes(told) >= {"resident_id_check_digit"}
    batch = told["error"]["subject"]
    out = tmp_path / "refused.csv"
    assert firm.do("quarantine", "export", batch, "--to", str(out))["rows"] == 1
    assert out.stat().st_mode & 0o777 == 0o600
    assert "K900005" in out.read_text(encoding="utf-8-sig")
    assert firm.refuse(2, "quarantine", "export", batch, "--to", str(out))


def test_what_failed_for_want_of_consent_passes_once_it_is_there(
    firm: Firm, tmp_path: Path
) -> None:
    late = tmp_path / "late.csv"
    late.write_bytes(customers_csv([7], broken=0).encode("gb18030"))
    told = firm.refuse(3, "ingest", str(late), "--source", "legacy_customers")
    consents = tmp_path / "consents.csv"
    consents.write_text(consents_csv([7]), encoding="utf-8")
    firm.do("ingest", str(consents), "--source", "legacy_consents")
    again = firm.do("quarantine", "retry", told["error"]["subject"])
    assert (again["accepted"], again["refused"], again["stored"]) == (1, 0, 1)


def test_a_batch_in_intake_is_stored_later_or_reverted(firm: Firm, tmp_path: Path) -> None:
    consents = tmp_path / "consents.csv"
    consents.write_text(consents_csv([8, 9]), encoding="utf-8")
    firm.do("ingest", str(consents), "--source", "legacy_consents")
    files = []
    for number in (8, 9):
        file = tmp_path / f"{number}.csv"
        file.write_bytes(customers_csv([number], broken=0).encode("gb18030"))
        files.append(
            firm.do("ingest", str(file), "--source", "legacy_customers", "--no-store")["batch"]
        )
    assert firm.do("ingest", "revert", files[0])["state"] == "reverted"
    assert firm.do("store", files[1])["stored"] == 1
    assert codes(firm.refuse(3, "ingest", "revert", files[1])) == {"batch_stored"}


def test_one_consent_is_recorded_shown_and_a_bad_one_fails_its_gate(firm: Firm) -> None:
    whose = ("--reference", "customer_no=K777", "--source", "legacy_customers")
    facts = ("--purpose", "customer_care", "--given-at", "2026-03-01T10:00:00+08:00")
    recorded = firm.do("consent", "record", *whose, *facts, "--act", "tick")
    shown = firm.do("consent", "show", recorded["customer"])
    assert [one["purpose"] for one in shown["consents"]] == ["customer_care"]
    wrong = ("--purpose", "no_such_purpose", "--given-at", "2026-03-01T10:00:00+08:00")
    assert codes(firm.refuse(5, "consent", "record", *whose, *wrong)) == {"value_not_allowed"}


def test_a_logged_out_session_signs_nothing_more(firm: Firm, customers: str) -> None:
    session = firm.login("郑", "business")
    kept = Path(session).read_bytes()
    firm.do("logout", "--session", session)
    Path(session).write_bytes(kept)
    wish = ("--dataset", "customers", "--purpose", customers, "--masked", "name")
    told = firm.refuse(3, "use", "request", *wish, "--session", session)
    assert codes(told) == {"session_expired"}


def test_refusals_as_json_carry_their_rule_in_the_language_asked_for(
    firm: Firm, customers: str, business: str
) -> None:
    wish = ("--dataset", "customers", "--purpose", customers, "--clear", "phone")
    assert firm.home
    outcome = call("use", "request", *wish, "--session", business, "--lang", "zh", "--json")
    (reason,) = json.loads(outcome.out)["error"]["reasons"]
    assert reason["rule"] == "H1.3b"
    assert "办法" in reason["article"]
