"""Great Expectations, in memory, silent and value-free.

* There is no context: nothing is written, no data docs are built, nothing is reported home.
* Results are asked for without values; of what comes back only names in ``_taken`` are looked at:
  success, two counts and the numbers of the failing rows (the frame's index).
* An expectation that could not run has no result, or one of another shape. That is a fault and no
  verdict, and so is any error inside: messages and tracebacks hold values, so they are dropped.
* Its loggers are silenced, because they log those tracebacks.

What a suite needs computed is worked out once a process and day (:mod:`custody.quality.suite`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from custody.errors import CustodyError
from custody.quality.frame import Column
from custody.quality.rules import Check
from custody.quality.suite import prepare

if TYPE_CHECKING:
    import pandas as pd


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
    from great_expectations.exceptions.exceptions import (  # noqa: PLC0415 - 2 s to import
        GreatExpectationsError,
    )

    _silence()
    try:
        suite = prepare(tuple(checks), today)
        results = suite.judge(_frame(columns, numbers))
    except (GreatExpectationsError, ArithmeticError, LookupError, TypeError, ValueError):
        raise QualityFaultError(dataset, "suite") from None
    return _outcomes(dataset, checks, results)


def warm_up() -> None:
    """Load Great Expectations now: otherwise the first chunk of a process waits for it."""
    from great_expectations import expectations  # noqa: F401, PLC0415 - 2 s to import

    _silence()


def _silence() -> None:
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)


def _frame(columns: Mapping[str, Column], numbers: Sequence[int]) -> "pd.DataFrame":
    """Return the columns under the rows' numbers.

    Cells that are no text are kept as numbers, empty ones among them as NaN: what Great
    Expectations asks of every column first, which of its cells are empty, is ten times cheaper so.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    index = pd.Index(numbers)

    def series(cells: Column) -> "pd.Series[Any]":
        first = next((cell for cell in cells if cell is not None), None)
        if first is None:
            return pd.Series(index=index, dtype="float64")
        return pd.Series(
            cells, index=index, dtype="object" if isinstance(first, str) else "float64"
        )

    return pd.DataFrame({name: series(cells) for name, cells in columns.items()}, index=index)


def _outcomes(
    dataset: str, checks: Sequence[Check], results: Sequence[Mapping[str, Any] | None]
) -> tuple[Outcome, ...]:
    return tuple(
        _taken(dataset, check, result or {}) for check, result in zip(checks, results, strict=True)
    )


def _taken(dataset: str, check: Check, result: Mapping[str, Any]) -> Outcome:
    """Return what may be known of a result; refuse one of another shape than a verdict's."""
    said = result.get("result", {})
    failed = said.get("unexpected_index_list", [])
    sound = (
        result.get("exception_info", {}).get("raised_exception", False) is False
        and isinstance(said.get("element_count"), int)
        and isinstance(failed, list)
        and len(failed) == said.get("unexpected_count")
        and bool(result.get("success", failed)) is (not failed)
    )
    if not sound:
        raise QualityFaultError(dataset, check.to_gate().name)
    judged = said["element_count"] - said.get("missing_count", 0)
    return Outcome(checked=judged, failed_rows=tuple(map(int, failed)))
