"""Whatever kind of expectation fails over customers' canaries, none of them comes out.

Great Expectations has some sixty kinds. Those that judge row by row may stand in a firm's suites.
Most others answer with a value (the greatest, the most common, all that are unexpected), so that no
policy can ask for them; and if the engine were asked, an answer of another shape is a fault.
"""

import json
import logging
import pickle
from collections.abc import Callable
from datetime import date
from importlib import import_module
from typing import Any

import pytest

from custody.policy.expectations import KINDS
from custody.quality import QualityFaultError, engine, suite
from custody.quality.rules import Check

gxe: Any = import_module("great_expectations.expectations")
TODAY = date(2026, 11, 28)
BIRD, MOBILE, NUMBER = "KANARIENVOGEL", "13800777999", 99990000111.0
CANARIES = (BIRD, MOBILE, "99990000111", "9.9990000111")
COLUMNS: dict[str, list[Any]] = {
    "text": [BIRD, MOBILE, BIRD, None],
    "other": [BIRD, BIRD, MOBILE, None],
    "number": [NUMBER, NUMBER, NUMBER + 1, None],
    "more": [NUMBER + 2, NUMBER, NUMBER + 1, None],
}
ROWS = (101, 102, 103, 104)
BOUNDS = {"min_value": 1, "max_value": 2}

BY_ROW: dict[str, Callable[[], Any]] = {
    "not null": lambda: gxe.ExpectColumnValuesToNotBeNull(column="text"),
    "null": lambda: gxe.ExpectColumnValuesToBeNull(column="text"),
    "between": lambda: gxe.ExpectColumnValuesToBeBetween(column="number", **BOUNDS),
    "in set": lambda: gxe.ExpectColumnValuesToBeInSet(column="text", value_set=["a"]),
    "not in set": lambda: gxe.ExpectColumnValuesToNotBeInSet(column="text", value_set=[BIRD]),
    "regex": lambda: gxe.ExpectColumnValuesToMatchRegex(column="text", regex="^x$"),
    "not regex": lambda: gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex=BIRD),
    "regex list": lambda: gxe.ExpectColumnValuesToMatchRegexList(column="text", regex_list=["^x$"]),
    "not regex list": lambda: gxe.ExpectColumnValuesToNotMatchRegexList(
        column="text", regex_list=[BIRD]
    ),
    "strftime": lambda: gxe.ExpectColumnValuesToMatchStrftimeFormat(
        column="text", strftime_format="%Y"
    ),
    "lengths between": lambda: gxe.ExpectColumnValueLengthsToBeBetween(column="text", **BOUNDS),
    "length": lambda: gxe.ExpectColumnValueLengthsToEqual(column="text", value=1),
    "pair equal": lambda: gxe.ExpectColumnPairValuesToBeEqual(column_A="text", column_B="other"),
    "pair greater": lambda: gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="number", column_B="more"
    ),
    "pair in set": lambda: gxe.ExpectColumnPairValuesToBeInSet(
        column_A="text", column_B="other", value_pairs_set=[("a", "b")]
    ),
    "sum": lambda: gxe.ExpectMulticolumnSumToEqual(column_list=["number", "more"], sum_total=1),
    "unique within record": lambda: gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(
        column_list=["text", "other"]
    ),
    "unique": lambda: gxe.ExpectColumnValuesToBeUnique(column="text"),
    "unique together": lambda: gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["number", "number"]
    ),
    "increasing": lambda: gxe.ExpectColumnValuesToBeIncreasing(column="more"),
    "decreasing": lambda: gxe.ExpectColumnValuesToBeDecreasing(column="number"),
    "json": lambda: gxe.ExpectColumnValuesToBeJsonParseable(column="text"),
    "dateutil": lambda: gxe.ExpectColumnValuesToBeDateutilParseable(column="text"),
    "z scores": lambda: gxe.ExpectColumnValueZScoresToBeLessThan(
        column="more", threshold=0.1, double_sided=True
    ),
}
OTHERWISE: dict[str, Callable[[], Any]] = {
    "of type": lambda: gxe.ExpectColumnValuesToBeOfType(column="text", type_="int"),
    "in types": lambda: gxe.ExpectColumnValuesToBeInTypeList(column="text", type_list=["int"]),
    "json schema": lambda: gxe.ExpectColumnValuesToMatchJsonSchema(
        column="text", json_schema={"type": "object"}
    ),
    "max": lambda: gxe.ExpectColumnMaxToBeBetween(column="number", **BOUNDS),
    "min": lambda: gxe.ExpectColumnMinToBeBetween(column="number", **BOUNDS),
    "mean": lambda: gxe.ExpectColumnMeanToBeBetween(column="number", **BOUNDS),
    "median": lambda: gxe.ExpectColumnMedianToBeBetween(column="number", **BOUNDS),
    "sum of all": lambda: gxe.ExpectColumnSumToBeBetween(column="number", **BOUNDS),
    "deviation": lambda: gxe.ExpectColumnStdevToBeBetween(column="number", **BOUNDS),
    "quantiles": lambda: gxe.ExpectColumnQuantileValuesToBeBetween(
        column="number", quantile_ranges={"quantiles": [0.5], "value_ranges": [[1, 2]]}
    ),
    "most common": lambda: gxe.ExpectColumnMostCommonValueToBeInSet(column="text", value_set=["a"]),
    "distinct in set": lambda: gxe.ExpectColumnDistinctValuesToBeInSet(
        column="text", value_set=["a"]
    ),
    "distinct contain": lambda: gxe.ExpectColumnDistinctValuesToContainSet(
        column="text", value_set=["a"]
    ),
    "distinct equal": lambda: gxe.ExpectColumnDistinctValuesToEqualSet(
        column="text", value_set=["a"]
    ),
    "distinct count": lambda: gxe.ExpectColumnUniqueValueCountToBeBetween(
        column="text", min_value=9
    ),
    "distinct share": lambda: gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
        column="text", min_value=1
    ),
    "rows between": lambda: gxe.ExpectTableRowCountToBeBetween(min_value=9),
    "rows": lambda: gxe.ExpectTableRowCountToEqual(value=9),
    "columns": lambda: gxe.ExpectTableColumnCountToEqual(value=9),
    "columns between": lambda: gxe.ExpectTableColumnCountToBeBetween(min_value=9),
    "column names": lambda: gxe.ExpectTableColumnsToMatchSet(column_set=["a"], exact_match=True),
    "columns in order": lambda: gxe.ExpectTableColumnsToMatchOrderedList(column_list=["a"]),
    "column exists": lambda: gxe.ExpectColumnToExist(column="missing"),
}
CHECK = Check(kind="present", code="expectation_failed", field="text", columns=("text",))


@pytest.fixture(autouse=True)
def _afresh() -> Any:
    suite.prepare.cache_clear()
    yield
    suite.prepare.cache_clear()


def asked(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[engine.Outcome | None, QualityFaultError | None, str]:
    """Ask one expectation over the canaries: outcome, or fault, and what came back inside."""
    raw: list[object] = []
    original = engine._outcomes

    def listening(dataset: str, checks: Any, results: Any) -> Any:
        raw.append(results)
        return original(dataset, checks, results)

    monkeypatch.setattr(engine, "_outcomes", listening)
    monkeypatch.setattr(suite, "_expectation", lambda *_: make())
    try:
        (outcome,) = engine.run("customers", [CHECK], COLUMNS, ROWS, TODAY)
    except QualityFaultError as fault:
        return None, fault, repr(raw)
    return outcome, None, json.dumps(raw, default=str)


@pytest.mark.parametrize("kind", [*BY_ROW, *OTHERWISE])
def test_no_canary_comes_out_of_any_kind(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        outcome, fault, _ = asked((BY_ROW | OTHERWISE)[kind], monkeypatch)
    out, error = capfd.readouterr()
    told = repr(outcome) + str(fault) + repr(fault and fault.args) + caplog.text + out + error
    told += repr(pickle.loads(pickle.dumps(fault)))  # noqa: S301 - our own bytes
    assert not [one for one in CANARIES if one in told]
    assert fault is None or fault.__context__ is None or fault.__suppress_context__


@pytest.mark.parametrize("kind", BY_ROW)
def test_what_judges_by_row_names_rows_and_even_inside_no_value(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, fault, raw = asked(BY_ROW[kind], monkeypatch)
    assert fault is None
    assert outcome is not None
    assert outcome.failed_rows
    assert set(outcome.failed_rows) <= set(ROWS)
    assert not [one for one in CANARIES if one in raw]


@pytest.mark.parametrize("kind", OTHERWISE)
def test_any_other_answer_is_no_verdict(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, fault, _ = asked(OTHERWISE[kind], monkeypatch)
    assert outcome is None
    assert fault is not None


def test_a_policy_can_ask_by_row_only() -> None:
    native = {kind.native for kind in KINDS.values()}
    by_row = {type(make()).__name__ for make in BY_ROW.values()}
    otherwise = {type(make()).__name__ for make in OTHERWISE.values()}
    assert native <= by_row
    assert not native & otherwise
    assert len(by_row | otherwise) >= 40
