"""Great Expectations, once per process, in memory, silent and value-free.

* The context is ephemeral: nothing is written, no data docs are built, analytics are off.
* Results are asked for without values; of what comes back only names in ``_taken`` are looked at:
  success, two counts and the numbers of the failing rows (the frame's index).
* An expectation that could not run has a result of another shape. That is a fault and no verdict,
  and so is any error inside: messages and tracebacks hold values, so they are dropped.
* Its loggers are silenced, because they log those tracebacks.
* One validation at a time: the execution engine keeps the batch it works on.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from custody.errors import CustodyError
from custody.quality.frame import Column
from custody.quality.rules import TODAY, TOMORROW, Check

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

_RESULT_FORMAT: Final = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}
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
_ONE_AT_A_TIME: Final = threading.Lock()


class QualityFaultError(CustodyError):
    """The quality check itself could not run; nothing is said about the data."""

    code: ClassVar[str] = "fault"

    def __init__(self, dataset: str, rule: str) -> None:
        """Name the dataset and the rule that could not be checked."""
        super().__init__(dataset, rule)
        self.dataset, self.rule = dataset, rule

    def __str__(self) -> str:
        """Return which check could not run."""
        return f"the quality check could not run: dataset={self.dataset} rule={self.rule}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one expectation said: how many cells it judged, which rows failed."""

    checked: int
    failed_rows: tuple[int, ...]


def run(
    dataset: str,
    checks: Sequence[Check],
    columns: Mapping[str, Column],
    numbers: Sequence[int],
    today: date,
) -> tuple[Outcome, ...]:
    """Run every check over the columns and return what each said, in order.

    Raises:
        QualityFaultError: An expectation could not run.
    """
    from great_expectations import ExpectationSuite  # noqa: PLC0415 - 2 s to import
    from great_expectations.exceptions.exceptions import (  # noqa: PLC0415
        GreatExpectationsError,
    )

    definition = _definition()
    expectations = [_expectation(place, check, today) for place, check in enumerate(checks)]
    suite = ExpectationSuite(name=dataset, expectations=expectations)
    try:
        with _ONE_AT_A_TIME:
            batch = definition.get_batch(
                batch_parameters={"dataframe": _frame(columns, numbers, checks)}
            )
            validated = batch.validate(suite, result_format=_RESULT_FORMAT)
    except (GreatExpectationsError, ArithmeticError, LookupError, TypeError, ValueError):
        raise QualityFaultError(dataset, "suite") from None
    return _outcomes(dataset, checks, [one.to_json_dict() for one in validated.results])


def warm_up() -> None:
    """Load Great Expectations now: otherwise the first chunk of a process waits for it."""
    from great_expectations import ExpectationSuite, expectations  # noqa: F401, PLC0415

    _definition()


@cache
def _definition() -> "BatchDefinition[Any]":
    """Return where frames are handed over; built once."""
    import great_expectations  # noqa: PLC0415 - 2 s to import
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = great_expectations.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("custody").add_dataframe_asset("chunk")
    return asset.add_batch_definition_whole_dataframe("whole")


def _frame(
    columns: Mapping[str, Column], numbers: Sequence[int], checks: Sequence[Check]
) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - slow to import

    numeric = {name for check in checks if check.kind == "between" for name in check.columns}
    return pd.DataFrame(
        {
            name: pd.Series(
                cells, index=list(numbers), dtype="float64" if name in numeric else "object"
            )
            for name, cells in columns.items()
        },
        index=list(numbers),
    )


def _expectation(place: int, check: Check, today: date) -> "Expectation":
    """Return the native expectation for a check; ``place`` finds its result again."""
    from great_expectations import expectations  # noqa: PLC0415 - slow to import

    made: Expectation = getattr(expectations, _TYPES[check.kind, len(check.columns) > 1])(
        **_where(check),
        **_asked(check, today),
        meta={"place": place},
        severity="critical" if check.severity == "blocking" else "warning",
    )
    return made


def _where(check: Check) -> dict[str, Any]:
    if len(check.columns) == 1:
        return {"column": check.columns[0]}
    if check.kind == "equal":
        first, second = check.columns
        ignored = "either_value_is_missing"
        return {"column_A": first, "column_B": second, "ignore_row_if": ignored}
    return {"column_list": list(check.columns), "ignore_row_if": "any_value_is_missing"}


def _asked(check: Check, today: date) -> dict[str, Any]:
    match check.kind:
        case "shape":
            return {"regex": check.pattern}
        case "holds":
            return {"value_set": [True]}
        case "listed":
            return {"value_set": list(check.values)}
        case "between":
            lowest, highest = _bounds(check, today)
            return {"min_value": lowest, "max_value": highest}
    return {}


def _bounds(check: Check, today: date) -> tuple[float | None, float | None]:
    days = {TODAY: today, TOMORROW: today + timedelta(days=1)}
    if check.highest in days:
        lowest = date.fromisoformat(check.lowest).toordinal()
        return float(lowest), float(days[check.highest].toordinal())
    return (
        float(check.lowest) if check.lowest else None,
        float(check.highest) if check.highest else None,
    )


def _outcomes(
    dataset: str, checks: Sequence[Check], results: Sequence[Mapping[str, Any]]
) -> tuple[Outcome, ...]:
    found = {_place(one): one for one in results}
    return tuple(_taken(dataset, check, found.get(place, {})) for place, check in enumerate(checks))


def _place(result: Mapping[str, Any]) -> int:
    place: int = result["expectation_config"]["meta"]["place"]
    return place


def _taken(dataset: str, check: Check, result: Mapping[str, Any]) -> Outcome:
    """Return what may be known of a result; refuse one of another shape than a verdict's."""
    said = result.get("result", {})
    failed = said.get("unexpected_index_list")
    sound = (
        result.get("exception_info", {}).get("raised_exception") is False
        and isinstance(said.get("element_count"), int)
        and isinstance(failed, list)
        and len(failed) == said.get("unexpected_count")
        and result.get("success") is (not failed)
    )
    if not sound or failed is None:
        raise QualityFaultError(dataset, check.code)
    judged = said["element_count"] - said.get("missing_count", 0)
    return Outcome(checked=judged, failed_rows=tuple(map(int, failed)))
