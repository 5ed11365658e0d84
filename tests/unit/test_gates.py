"""Verdicts of a gate: what is let pass, what a suite's digest covers, what the ledger says."""

from dataclasses import replace

import pytest

from custody.canonical import CanonicalError, canonical, digest
from custody.gates import (
    RESULT_DOMAIN,
    GateCheck,
    GateSuite,
    judge,
    read_result,
    read_suite,
    stage_suite,
)
from custody.policy.parse import parse_policy
from custody.policy.template import template_documents

CHECK = GateCheck(
    name="mobile.mobile_malformed",
    code="mobile_malformed",
    kind="shape",
    owner="engineer",
    tolerated_permille=20,
    asked={"columns": ["mobile#value"]},
)
SUITE = GateSuite(stage="ingest", dataset="customers", checks=(CHECK,))


@pytest.mark.parametrize(
    ("rows", "failed", "verdict"),
    [
        (0, 0, "passed"),
        (100, 0, "passed"),
        (100, 2, "warned"),
        (100, 3, "failed"),
        (149, 3, "failed"),
        (150, 3, "warned"),
        (1_000_000, 20_000, "warned"),
        (1_000_000, 20_001, "failed"),
        (0, 1, "failed"),
    ],
)
def test_what_is_let_pass_is_a_share_of_the_rows(rows: int, failed: int, verdict: str) -> None:
    assert judge(SUITE, {CHECK.name: (failed, failed)}, rows).verdict == verdict


def test_a_check_that_only_warns_never_fails() -> None:
    warning = replace(SUITE, checks=(replace(CHECK, severity="warning", tolerated_permille=0),))
    result = judge(warning, {CHECK.name: (10, 10)}, 10)
    assert (result.verdict, result.failed) == ("warned", ())


def test_the_worst_check_decides() -> None:
    strict = replace(CHECK, name="other", tolerated_permille=0)
    both = replace(SUITE, checks=(CHECK, strict))
    assert judge(both, {CHECK.name: (100, 1), "other": (100, 0)}, 100).verdict == "warned"
    failed = judge(both, {CHECK.name: (100, 1), "other": (100, 1)}, 100)
    assert (failed.verdict, [one.check.name for one in failed.failed]) == ("failed", ["other"])


def test_what_the_ledger_says_is_counts_codes_and_digests() -> None:
    facts = judge(SUITE, {CHECK.name: (90, 3)}, 100).facts({"batch": "batch_1"})
    said = {
        "batch": "batch_1",
        "stage": "ingest",
        "suite": SUITE.digest,
        "checked": [90],
        "failed": [3],
        "rows": 100,
        "codes": ["mobile_malformed"],
        "verdict": "failed",
    }
    assert facts == {**said, "digest": digest(RESULT_DOMAIN, said).hex()}
    canonical(facts)
    other = judge(SUITE, {CHECK.name: (90, 3)}, 100).facts({"batch": "batch_2"})
    assert other["digest"] != facts["digest"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"verdict": "passed"},
        {"failed": [2]},
        {"checked": [90, 90]},
        {"rows": 1000},
        {"codes": []},
        {"batch": "batch_2"},
        {"request": "req_1"},
        {"suite": "0" * 64},
        {"suite": None},
        {"checked": 5},
    ],
    ids=str,
)
def test_only_a_result_that_follows_from_its_counts_is_read(change: dict[str, object]) -> None:
    result = judge(SUITE, {CHECK.name: (90, 3)}, 100)
    facts = {**result.facts({"batch": "batch_1"}), **change}
    assert read_result(facts, {SUITE.digest: SUITE}) == (None if change else result)
    assert read_result({"n": 1}, {}) is None


def test_two_checks_of_one_name_make_no_suite() -> None:
    with pytest.raises(ValueError, match="one name"):
        replace(SUITE, checks=(CHECK, CHECK))


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "head"},
        {"severity": "warning"},
        {"tolerated_permille": 21},
        {"asked": {"columns": ["phone#value"]}},
        {"code": "format_invalid"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_suites_digest_is_that_of_all_that_was_asked(change: dict[str, object]) -> None:
    changed = replace(CHECK, **change)  # type: ignore[arg-type]
    assert replace(SUITE, checks=(changed,)).digest != SUITE.digest


def test_a_suite_that_was_kept_is_read_as_it_was() -> None:
    assert read_suite(canonical(SUITE.to_plain())) == SUITE
    with pytest.raises(CanonicalError):
        read_suite(b'{"checks": []}')


@pytest.mark.parametrize("stage", ["store", "transfer", "destroy"])
def test_no_stage_after_ingest_lets_anything_pass(stage: str) -> None:
    suite = stage_suite(parse_policy(template_documents("insurer")), stage)
    assert suite.checks
    sound = {check.name: (10**9, 0) for check in suite.checks}
    assert judge(suite, sound).verdict == "passed"
    for check in suite.checks:
        assert check.owner
        assert judge(suite, {**sound, check.name: (10**9, 1)}).verdict == "failed"
