"""Each run of each flow leaves its start and its end in the ledger, by hooks on its states."""

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.states import State

from custody.acts.history import record_run
from tasks.context import actor_of, custody


def run_started(flow: Flow[..., Any], run: FlowRun, _state: State[Any]) -> None:
    """Say in the ledger that a run began, and who is known to have started it."""
    record_run(custody(), actor_of(run), flow.name, "started", "RUNNING")


def run_ended(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Say in the ledger how a run ended."""
    record_run(custody(), actor_of(run), flow.name, "ended", state.type.value)


HOOKS = {
    "on_running": [run_started],
    "on_completion": [run_ended],
    "on_failure": [run_ended],
    "on_crashed": [run_ended],
    "on_cancellation": [run_ended],
}
