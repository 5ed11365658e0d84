"""The border to Prefect: what a task gives back or raises may be seen by everybody.

Results are receipts and are never persisted. Of an error only its kind leaves: custody's own errors
are built anew from their arguments, which are identifiers and codes; anything else becomes
:class:`UnexpectedError`. So no message, cause, context, note or local variable of a traceback goes
along, and what is pickled, logged or shown holds nothing of a customer.
"""

import traceback
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar
from unicodedata import category
from uuid import UUID

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import ExternalSignal

from custody.acts.subjects import ChangedMeanwhileError
from custody.database.engine import DatabaseError
from custody.detect import kinds_in
from custody.errors import CustodyError, Reason

RETRIES: Final = 2
RETRY_SECONDS: Final = 2.0
_PASSING: Final = (DatabaseError, ChangedMeanwhileError)
# They end the process or the run and have no text of anybody's; Prefect must see their kind.
_ENDINGS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError, ExternalSignal)
_HOUSE: Final = ("custody", "tasks", "flows", "config")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class UnexpectedError(CustodyError):
    """Something failed that custody did not foresee; only its type and place are told."""

    code = "fault"

    def __init__(self, kind: str, step: str, place: str = "") -> None:
        super().__init__(kind, step, place)
        self.kind, self.step, self.place = kind, step, place

    def __str__(self) -> str:
        """Return the step, the type of what was raised, and where."""
        where = f" at {self.place}" if self.place else ""
        return f"{self.step} failed with {self.kind}{where}; its message is withheld"


def step(function: Callable[_P, _R]) -> Task[_P, _R]:
    """Make a task of a step: retried where the database failed, silent about values."""
    return task(
        retries=RETRIES,
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=_is_passing,
        persist_result=False,
        cache_policy=NO_CACHE,
    )(withholding(function))


def withholding(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the function with nothing but kinds and identifiers in what it raises."""

    @wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - the border: whatever it is, its text stays
            bared = _bare(error, function.__name__)
        # Raised here, outside the handler, so that it has no context.
        raise bared

    return inside


def _bare(error: BaseException, step: str) -> BaseException:
    """Return an error that can be shown to everybody in the place of ``error``."""
    if isinstance(error, CustodyError) and all(map(_is_plain, error.args)):
        return _rebuilt(error, step)
    if isinstance(error, ExternalSignal):
        return type(error)(getattr(error, "signal", 0))
    if isinstance(error, SystemExit):
        return SystemExit(error.code if isinstance(error.code, int) else 1)
    if isinstance(error, _ENDINGS):
        return type(error)()
    return UnexpectedError(type(error).__name__, step, _place(error))


def _rebuilt(error: CustodyError, step: str) -> CustodyError:
    try:
        return type(error)(*error.args)
    except TypeError:  # it would not survive pickling either
        return UnexpectedError(type(error).__name__, step, _place(error))


def _is_plain(argument: object) -> bool:
    """Tell whether an error's argument is what it ought to be: an identifier, a code, a count."""
    if isinstance(argument, Reason):
        return _is_plain(argument.code) and _is_plain(argument.about)
    if isinstance(argument, tuple):
        return all(map(_is_plain, argument))
    if isinstance(argument, str):
        return not _may_be_personal(argument)
    return argument is None or isinstance(argument, int | UUID)


def _may_be_personal(text: str) -> bool:
    """Whether hanzi or an identifier of somebody's stand in a text that should have neither."""
    return any(category(one) == "Lo" for one in text) or bool(kinds_in(text))


def _place(error: BaseException) -> str:
    """Return module and line of the innermost frame that is ours; a traceback names no values."""
    ours = [place for place in _frames(error) if place.partition(".")[0] in _HOUSE]
    return ours[-1] if ours else ""


def _frames(error: BaseException) -> Iterable[str]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") != __name__:
            yield f"{frame.f_globals.get('__name__', '')}:{line}"


def _is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether trying again may help: a database that failed, a row that others changed."""
    return isinstance(state.data, _PASSING) or _raised(state) in _PASSING


def _raised(state: State[Any]) -> type | None:
    try:
        return type(state.result(raise_on_failure=False))
    except CustodyError as error:
        return type(error)
