"""Suites that a firm writes itself: what they find, of whom, and what they leave alone."""

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from custody.codes import CODES
from custody.gates import stage_suite
from custody.normalise import normalise_rows
from custody.policy.expectations import KINDS
from custody.policy.model import (
    Expectation,
    FieldType,
    Policy,
    QualitySuite,
    Retention,
    Scope,
    Severity,
)
from custody.policy.parse import parse_policy
from custody.policy.template import template_documents
from custody.quality import Verdict, check_chunk
from custody.rows import RawRow

TODAY = date(2026, 11, 28)
ZONE = ZoneInfo("Asia/Shanghai")
SOUND = {
    "transaction_no": "T1",
    "customer_no": "C1",
    "occurred_on": "2026-01-05",
    "product": "福悦终身寿险",
    "amount": "100.00",
    "currency": "CNY",
    "billing_address": "上海市浦东新区世纪大道1号",
}
EXAMPLE = parse_policy(template_documents("insurer"))

# By kind: fields, parameters, a cell that is as expected, one that is not.
CASES: dict[str, tuple[tuple[str, ...], dict[str, object], dict[str, str], dict[str, str]]] = {
    "column_values_to_not_be_null": (("product",), {}, {}, {"product": ""}),
    "column_values_to_be_null": (("product",), {}, {"product": ""}, {}),
    "column_values_to_be_between": (
        ("amount",),
        {"min_value": "99.5", "max_value": 100},
        {},
        {"amount": "99.49"},
    ),
    "column_values_to_be_in_set": (
        ("product",),
        {"value_set": ("福悦终身寿险",)},
        {},
        {"product": "其他"},
    ),
    "column_values_to_not_be_in_set": (
        ("product",),
        {"value_set": ("测试",)},
        {},
        {"product": "测试"},
    ),
    "column_values_to_match_regex": (("product",), {"regex": "寿险$"}, {}, {"product": "车险"}),
    "column_values_to_not_match_regex": (
        ("product",),
        {"regex": "^测试"},
        {},
        {"product": "测试产品"},
    ),
    "column_values_to_match_regex_list": (
        ("product",),
        {"regex_list": ("^福", "险$"), "match_on": "all"},
        {},
        {"product": "福袋"},
    ),
    "column_values_to_not_match_regex_list": (
        ("product",),
        {"regex_list": ("^无$", "^测试$")},
        {},
        {"product": "无"},
    ),
    "column_values_to_match_strftime_format": (
        ("product",),
        {"strftime_format": "%Y-%m"},
        {"product": "2026-01"},
        {"product": "2026-13"},
    ),
    "column_value_lengths_to_be_between": (
        ("product",),
        {"min_value": 3, "max_value": 10},
        {},
        {"product": "险"},
    ),
    "column_value_lengths_to_equal": (("product",), {"value": 6}, {}, {"product": "险"}),
    "column_pair_values_to_be_equal": (
        ("product", "billing_address"),
        {},
        {"billing_address": "福悦终身寿险"},
        {},
    ),
    "column_pair_values_a_to_be_greater_than_b": (
        ("amount", "amount"),  # it is never greater than itself
        {},
        {},
        {},
    ),
    "select_column_values_to_be_unique_within_record": (
        ("product", "billing_address"),
        {},
        {},
        {"billing_address": "福悦终身寿险"},
    ),
}


def policy_expecting(
    expect: str,
    fields: tuple[str, ...],
    parameters: dict[str, object],
    severity: Severity = "blocking",
) -> Policy:
    """Return the example policy with one suite of one expectation."""
    own = Expectation(
        name="own",
        expect=expect,
        fields=fields,
        parameters=parameters,  # type: ignore[arg-type]
        severity=severity,
        tolerated_permille=None,
    )
    suite = QualitySuite(
        name="house",
        title={"zh": "自订", "en": "Own"},
        dataset="transactions",
        owner="head",
        rows_at_least=None,
        rows_at_most=None,
        expectations=(own,),
    )
    return replace(EXAMPLE, suites={"house": suite})


def judge(
    policy: Policy, *rows: dict[str, str], leaving_out: frozenset[str] = frozenset()
) -> Verdict:
    """Judge rows that differ from the sound one as given."""
    dataset = policy.dataset("transactions")
    scope = Scope(
        required=frozenset({"transaction_no"}),
        optional=dataset.field_names - {"transaction_no"} - leaving_out,
        retention=Retention(period="P5Y", basis="K1", start_event="relationship_ended"),
    )
    raw = [
        RawRow(number=place, values={**SOUND, "transaction_no": f"T{place}", **row})
        for place, row in enumerate(rows, start=1)
    ]
    normalised = normalise_rows(dataset, raw, ZONE, scope.fields)
    return check_chunk(policy, dataset, scope, normalised, today=TODAY)


def found(verdict: Verdict) -> tuple[int, int]:
    """Return how many rows the firm's own expectation judged, and how many failed it."""
    (own,) = [one for one in verdict.findings if one.name == "suites.house.own"]
    return own.checked, own.failed


@pytest.mark.parametrize("expect", CASES)
def test_every_kind_finds_the_row_that_is_not_as_expected(expect: str) -> None:
    fields, parameters, sound, broken = CASES[expect]
    verdict = judge(policy_expecting(expect, fields, parameters), sound, broken)
    wrong = [2] if sound != broken else [1, 2]
    assert verdict.blocking == {row: {"expectation_failed"} for row in wrong}
    assert found(verdict)[1] == len(wrong)


def test_what_is_equal_can_be_let_pass() -> None:
    kind, fields = "column_pair_values_a_to_be_greater_than_b", ("amount", "amount")
    assert judge(policy_expecting(kind, fields, {"or_equal": True}), {}).blocking == {}


def test_there_is_a_case_for_every_kind() -> None:
    assert CASES.keys() | {"multicolumn_sum_to_equal"} == KINDS.keys()


def test_whole_numbers_have_the_sum_that_is_expected() -> None:
    policy = policy_expecting("multicolumn_sum_to_equal", ("score", "score"), {"sum_total": 20})
    suite = replace(policy.suites["house"], dataset="profiles")
    dataset = policy.dataset("profiles")
    scope = Scope(
        required=frozenset({"customer_no"}),
        optional=frozenset({"score"}),
        retention=Retention(period="P5Y", basis="K1", start_event="relationship_ended"),
    )
    raw = [
        RawRow(number=place, values={"customer_no": f"C{place}", "score": score})
        for place, score in enumerate(("10", "11", ""), start=1)
    ]
    rows = normalise_rows(dataset, raw, ZONE, scope.fields)
    judged = replace(policy, suites={"house": suite})
    verdict = check_chunk(judged, dataset, scope, rows, today=TODAY)
    assert verdict.blocking == {2: {"expectation_failed"}}


@pytest.mark.parametrize(
    ("parameters", "failing"),
    [
        ({"min_value": "2026-01-05"}, []),
        ({"min_value": "2026-01-06"}, [1]),
        ({"max_value": "today"}, []),
        ({"max_value": "2026-01-05", "strict_max": True}, [1]),
    ],
)
def test_days_are_compared_as_days(parameters: dict[str, object], failing: list[int]) -> None:
    policy = policy_expecting("column_values_to_be_between", ("occurred_on",), parameters)
    assert sorted(judge(policy, {}).blocking) == failing


def test_a_warning_refuses_nobody() -> None:
    policy = policy_expecting(
        "column_values_to_match_regex", ("product",), {"regex": "x"}, "warning"
    )
    verdict = judge(policy, {}, {})
    assert verdict.blocking == {}
    assert verdict.warnings == {1: {"expectation_failed"}, 2: {"expectation_failed"}}


def test_a_cell_that_is_empty_or_refused_already_is_passed_over() -> None:
    policy = policy_expecting("column_values_to_be_between", ("amount",), {"min_value": 1000})
    verdict = judge(policy, {"amount": ""}, {"amount": "viel"}, {"amount": "1"})
    assert verdict.blocking[2] == {"type_invalid"}
    assert verdict.blocking[3] == {"expectation_failed"}
    assert found(verdict) == (1, 1)


@pytest.mark.parametrize(
    ("expect", "failed"), [("column_values_to_not_be_null", 0), ("column_values_to_be_null", 1)]
)
def test_what_cannot_be_read_is_given_all_the_same(expect: str, failed: int) -> None:
    assert found(judge(policy_expecting(expect, ("amount",), {}), {"amount": "viel"}))[1] == failed


def test_what_the_purpose_does_not_need_is_not_asked() -> None:
    policy = policy_expecting("column_values_to_match_regex", ("product",), {"regex": "x"})
    verdict = judge(policy, {}, leaving_out=frozenset({"product"}))
    assert verdict.blocking == {}
    assert not [one for one in verdict.findings if one.name.startswith("suites.")]


def test_the_suite_says_who_answers_for_it() -> None:
    policy = policy_expecting("column_values_to_match_regex", ("product",), {"regex": "x"})
    checks = {one.name: one for one in judge(policy, {}).suite.checks}
    assert checks["suites.house.own"].owner == "head"
    assert checks["amount.value_out_of_range"].owner == policy.gate("ingest").owner
    assert len(checks) == len(judge(policy, {}).suite.checks)


def test_what_stops_a_batch_is_always_told_by_a_code_that_is_explained() -> None:
    policy = policy_expecting("column_values_to_match_regex", ("product",), {"regex": "x"})
    suites = [judge(policy, {}).suite]
    suites += [stage_suite(policy, stage) for stage in ("store", "transfer", "destroy")]
    assert {check.code for suite in suites for check in suite.checks} <= set(CODES)


def test_every_type_of_field_has_a_kind() -> None:
    assert set().union(*(kind.types for kind in KINDS.values())) == set(FieldType)
