"""Flows that judge their parameters before Prefect writes anything down.

Prefect stores a run's parameters when it creates the run and judges them afterwards, so that a file
name or a person's name given by mistake would lie in its database for good. Here a call is judged
first, and what is wrong with it is told by the names of the parameters alone. Runs of deployments
are judged by the server, against the same descriptions, before it creates them.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar, get_type_hints

from prefect import Flow
from prefect.context import FlowRunContext
from pydantic import TypeAdapter, ValidationError

from custody.errors import UsageError
from tasks.history import HOOKS, begin
from tasks.interruption import require_uninterrupted
from tasks.naming import named_after

_P = ParamSpec("_P")
_R = TypeVar("_R")


class ParametersInvalidError(UsageError):
    """A flow was given parameters it does not take; their values are not repeated."""


class Stage(Flow[_P, _R]):
    """A flow of custody's: parameters judged first, no results kept, each run in the ledger."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Prefect declares it
        """Run the stage, unless a parameter is wrong."""
        given = {name: kwargs[name] for name in kwargs if name not in {"return_state", "wait_for"}}
        bound = _bound(self.fn, args, given)
        if bound is None:
            raise ParametersInvalidError("not the parameters of the flow", self.name)
        self.validate_parameters(bound)
        outcome = super().__call__(*args, **kwargs)
        require_uninterrupted()
        return outcome

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as the stage takes them; Prefect's own way logs them when wrong.

        Raises:
            ParametersInvalidError: Some are wrong; it names them and repeats no value.
        """
        if _bound(self.fn, (), parameters) is None:
            raise ParametersInvalidError("not the parameters of the flow", self.name)
        taken, wrong = _judge(self.fn, parameters)
        if wrong:
            raise ParametersInvalidError(f"wrong parameters of {self.name}", ", ".join(wrong))
        return taken


def stage(name: str, *, about: tuple[str, ...]) -> Callable[[Callable[_P, _R]], Stage[_P, _R]]:
    """Make a flow of a function.

    Args:
        name: The flow's name.
        about: The parameters that say in the run's name what it is about.
    """

    def made(function: Callable[_P, _R]) -> Stage[_P, _R]:
        @wraps(function)
        def begun(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            context = FlowRunContext.get()
            if context is None or context.flow_run is None:
                raise RuntimeError("a flow of custody's runs as a flow only")
            begin(flow, context.flow_run)
            return function(*args, **kwargs)

        flow = Stage(
            begun, name=name, flow_run_name=named_after(*about), persist_result=False, **HOOKS
        )
        return flow

    return made


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what is given by name, None where the function has no such parameters."""
    try:
        return signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return None


def _judge(
    function: Callable[..., Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters as declared, and the names of those that cannot be so read."""
    declared = get_type_hints(function, include_extras=True)
    taken, wrong = {}, []
    for name, value in parameters.items():
        try:
            taken[name] = TypeAdapter(declared[name]).validate_python(value)
        except ValidationError:
            wrong.append(name)
    return taken, wrong
