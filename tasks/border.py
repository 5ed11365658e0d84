"""The border to Prefect: what a task gives back or raises may be seen by everybody.

Results are receipts and are never persisted. Errors carry identifiers and codes; anything else that
is raised inside is replaced by its type's name, for its text may hold a customer's data.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import State

from custody.acts.subjects import ChangedMeanwhileError
from custody.database.engine import DatabaseError
from custody.errors import CustodyError

RETRIES: Final = 2
RETRY_SECONDS: Final = 2.0
_PASSING: Final = (DatabaseError, ChangedMeanwhileError)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class UnexpectedError(CustodyError):
    """Something failed that custody did not foresee; only its type is told."""

    code = "fault"

    def __init__(self, kind: str, step: str) -> None:
        super().__init__(kind, step)
        self.kind, self.step = kind, step

    def __str__(self) -> str:
        """Return the step and the type of what was raised."""
        return f"{self.step} failed with {self.kind}; its message is withheld"


def step(function: Callable[_P, _R]) -> Task[_P, _R]:
    """Make a task of a step: retried where the database failed, silent about values."""
    return task(
        retries=RETRIES,
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=_is_passing,
        persist_result=False,
        cache_policy=NO_CACHE,
    )(_withholding(function))


def _withholding(function: Callable[_P, _R]) -> Callable[_P, _R]:
    @wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except CustodyError:
            raise
        except Exception as error:  # noqa: BLE001 - the border: whatever it is, its text stays here
            raise UnexpectedError(type(error).__name__, function.__name__) from None

    return inside


def _is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether trying again may help: a database that failed, a row that others changed."""
    return isinstance(state.data, _PASSING) or _raised(state) in _PASSING


def _raised(state: State[Any]) -> type | None:
    try:
        return type(state.result(raise_on_failure=False))
    except CustodyError as error:
        return type(error)
