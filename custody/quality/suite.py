"""A suite of expectations, ready to judge one chunk after another.

Great Expectations derives anew, for every validation, what each expectation needs computed: some
seven metrics of some twenty-five parts, hashed and compared, the same every time. That cost 0.6 s,
far more than computing them over ten thousand rows. So it is derived once, from the expectations
themselves, and each chunk is put before the same graph of metrics:

1. The chunk is loaded into an execution engine of its own.
2. Great Expectations computes the metrics, over all of the chunk.
3. Each expectation judges by its metrics.
4. Which rows fail is asked of those expectations alone that failed: most do not.

The graph names no chunk, so it fits any. Nothing in it changes once it is built.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from custody.policy.expectations import KINDS
from custody.quality.rules import TODAY, TOMORROW, Check

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.validation_graph import MetricEdge

RESULT_FORMAT: Final = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}
UNASKED: Final = (".unexpected_values", ".unexpected_index_query")
"""Metrics of a complete result that hold values; they are not computed."""
_ROWS: Final = ".unexpected_index_list"
_TYPES: Final[Mapping[tuple[str, bool], str]] = {
    ("present", False): "ExpectColumnValuesToNotBeNull",
    ("readable", False): "ExpectColumnValuesToBeNull",
    ("shape", False): "ExpectColumnValuesToMatchRegex",
    ("holds", False): "ExpectColumnValuesToBeInSet",
    ("listed", False): "ExpectColumnValuesToBeInSet",
    ("between", False): "ExpectColumnValuesToBeBetween",
    ("unique", False): "ExpectColumnValuesToBeUnique",
    ("unique", True): "ExpectCompoundColumnsToBeUnique",
    ("equal", True): "ExpectColumnPairValuesToBeEqual",
}
"""The expectation for a check, by its kind and whether it looks at several columns."""
_DAYS_AND_SCOPES: Final = 32
_CHUNK: Final = "chunk"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    """An expectation, the metrics by which it judges, by their names, and that of failing rows."""

    expectation: "Expectation"
    metrics: "Mapping[str, MetricConfiguration]"
    rows: "Mapping[str, MetricConfiguration]"
    result_format: Mapping[str, Any]

    def judge(
        self, known: dict[Any, Any], engine: "PandasExecutionEngine"
    ) -> Mapping[str, Any] | None:
        """Return what the expectation says; None where a metric could not be computed."""
        if any(one.id not in known for one in self.metrics.values()):
            return None
        said = self._said(self.metrics, known, engine)
        if said["success"]:
            return said
        known.update(engine.resolve_metrics(list(self.rows.values()), known))
        return self._said({**self.metrics, **self.rows}, known, engine)

    def _said(
        self,
        metrics: "Mapping[str, MetricConfiguration]",
        known: Mapping[Any, Any],
        engine: "PandasExecutionEngine",
    ) -> Mapping[str, Any]:
        # What ``metrics_validate`` ends in, without deriving again what is prepared here.
        said = self.expectation._validate(  # noqa: SLF001
            metrics={name: known[one.id] for name, one in metrics.items()},
            runtime_configuration={"result_format": dict(self.result_format)},
            execution_engine=engine,
        )
        return said if isinstance(said, dict) else said.to_json_dict()


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """The expectations for some checks, in their order, and the graph of their metrics."""

    expectations: tuple[_Prepared, ...]
    edges: "tuple[MetricEdge, ...]"

    def judge(self, chunk: "pd.DataFrame") -> list[Mapping[str, Any] | None]:
        """Return what each expectation says of the chunk, None of one that could not run."""
        from great_expectations.execution_engine.pandas_execution_engine import (  # noqa: PLC0415 - 2 s
            PandasExecutionEngine,
        )
        from great_expectations.validator.validation_graph import (  # noqa: PLC0415
            ValidationGraph,
        )

        engine = PandasExecutionEngine()
        engine.load_batch_data(_CHUNK, chunk)
        graph = ValidationGraph(engine, list(self.edges))
        known, _ = graph.resolve({"result_format": RESULT_FORMAT}, show_progress_bars=False)
        return [one.judge(known, engine) for one in self.expectations]


@lru_cache(_DAYS_AND_SCOPES)
def prepare(checks: tuple[Check, ...], today: date) -> Suite:
    """Return the suite for these checks, built once a process and day."""
    from great_expectations.execution_engine.pandas_execution_engine import (  # noqa: PLC0415 - 2 s
        PandasExecutionEngine,
    )
    from great_expectations.validator.validation_graph import ValidationGraph  # noqa: PLC0415

    engine = PandasExecutionEngine()
    graph = ValidationGraph(engine)
    asked = {"result_format": RESULT_FORMAT}
    expectations = tuple(_prepared(_expectation(check, today), engine) for check in checks)
    for one in expectations:
        for metric in one.metrics.values():
            graph.build_metric_dependency_graph(metric, asked)
        for metric in one.rows.values():
            ValidationGraph(engine).build_metric_dependency_graph(metric, asked)
    return Suite(expectations=expectations, edges=tuple(graph.edges))


def _prepared(expectation: "Expectation", engine: "PandasExecutionEngine") -> _Prepared:
    needed = expectation.get_validation_dependencies(engine, {"result_format": RESULT_FORMAT})
    metrics = {
        name: one
        for name, one in needed.metric_configurations.items()
        if not name.endswith(UNASKED)
    }
    rows = {name: metrics.pop(name) for name in list(metrics) if name.endswith(_ROWS)}
    return _Prepared(
        expectation=expectation, metrics=metrics, rows=rows, result_format=needed.result_format
    )


def _expectation(check: Check, today: date) -> "Expectation":
    """Return the native expectation for a check."""
    from great_expectations import expectations  # noqa: PLC0415 - slow to import

    native = KINDS[check.expect].native if check.expect else ""
    made: Expectation = getattr(expectations, native or _TYPES[check.kind, len(check.columns) > 1])(
        **_where(check),
        **_asked(check, today),
        severity="critical" if check.severity == "blocking" else "warning",
    )
    return made


def _where(check: Check) -> dict[str, Any]:
    if len(check.columns) == 1:
        return {"column": check.columns[0]}
    pair = check.expect and KINDS[check.expect].fields == "pair"
    if check.kind == "equal" or pair:
        first, second = check.columns
        ignored = "either_value_is_missing"
        return {"column_A": first, "column_B": second, "ignore_row_if": ignored}
    return {"column_list": list(check.columns), "ignore_row_if": "any_value_is_missing"}


def _asked(check: Check, today: date) -> dict[str, Any]:
    match check.kind:
        case "shape":
            return {"regex": check.pattern}
        case "holds":
            return {"value_set": [1.0]}
        case "listed":
            return {"value_set": list(check.values)}
        case "between":
            lowest, highest = _bounds(check, today)
            return {"min_value": lowest, "max_value": highest}
        case "expected":
            given = json.loads(check.parameters).items()
            return {name: _parameter(check.expect, name, value, today) for name, value in given}
    return {}


def _parameter(expect: str, name: str, value: Any, today: date) -> Any:  # noqa: ANN401 - JSON
    """Return a parameter as Great Expectations takes it: bounds as numbers, days by theirs."""
    if KINDS[expect].parameters[name] != "bound":
        return value
    if value == TODAY:
        return float(today.toordinal())
    if isinstance(value, str) and "-" in value[1:]:
        return float(date.fromisoformat(value).toordinal())
    return float(value)


def _bounds(check: Check, today: date) -> tuple[float | None, float | None]:
    days = {TODAY: today, TOMORROW: today + timedelta(days=1)}
    if check.highest in days:
        lowest = date.fromisoformat(check.lowest).toordinal()
        return float(lowest), float(days[check.highest].toordinal())
    return (
        float(check.lowest) if check.lowest else None,
        float(check.highest) if check.highest else None,
    )
