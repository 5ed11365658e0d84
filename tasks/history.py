"""Each run of each flow leaves its start and its end in the ledger, and can be compared again."""

import time
from typing import Any, Final
from uuid import UUID

from prefect import Flow, State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from custody.acts.checkpoints import keep_checkpoint
from custody.acts.context import Custody
from custody.acts.history import record_run, runs_in_ledger
from custody.database.ledger import RunEntry
from tasks.border import withholding
from tasks.context import actor_of, custody

RUNNING: Final = "RUNNING"
ENDING_SECONDS: Final = 3.0


@withholding
def run_started(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Say in the ledger that a run began, and who is known to have started it.

    Prefect calls hooks by position or, where the run's process is gone, by these very names.
    """
    record_run(custody(), actor_of(flow_run), flow.name, "started", RUNNING)


@withholding
def run_ended(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Say in the ledger how a run ended, and keep a checkpoint of all it did."""
    record_run(custody(), actor_of(flow_run), flow.name, "ended", state.type.value)
    keep_checkpoint(custody())


HOOKS: Final = {
    "on_running": [run_started],
    "on_completion": [run_ended],
    "on_failure": [run_ended],
    "on_crashed": [run_ended],
    "on_cancellation": [run_ended],
}


def compare_runs(custody: Custody) -> tuple[int, list[str]]:
    """Return how many runs the ledger names, and every difference from what Prefect says of them.

    Prefect's history is no evidence by itself: anybody with its API can change it. The ledger is
    what it is compared with.
    """
    entries, differences = _compare(custody)
    if differences:  # a run that is just ending says so to Prefect first
        time.sleep(ENDING_SECONDS)
        entries, differences = _compare(custody)
    return entries, differences


def _compare(custody: Custody) -> tuple[int, list[str]]:
    entries = runs_in_ledger(custody)
    with get_client(sync_client=True) as client:
        found = [_differs(client, entry) for entry in entries]
    return len(entries), [difference for difference in found if difference]


def list_runs(custody: Custody) -> list[dict[str, object]]:
    """Return what Prefect says of the runs that the ledger names, oldest first."""
    with get_client(sync_client=True) as client:
        runs = [client.read_flow_run(UUID(entry.run_id)) for entry in runs_in_ledger(custody)]
    return [
        {
            "flow": (run.name or "").partition(" ")[0],
            "run_id": str(run.id),
            "name": run.name,
            "state": run.state.name if run.state else "",
            "seconds": round(run.total_run_time.total_seconds(), 1),
        }
        for run in runs
    ]


def _differs(client: SyncPrefectClient, entry: RunEntry) -> str:
    """Return how Prefect's run differs from the ledger's, empty where it does not."""
    try:
        run = client.read_flow_run(UUID(entry.run_id))
    except ObjectNotFound:
        return f"run {entry.run_id}: Prefect has no such run"
    flow = client.read_flow(run.flow_id).name
    state = run.state.type.value if run.state else ""
    if (flow, state) == (entry.flow, entry.state):
        return ""
    return (
        f"run {entry.run_id}: {entry.flow} {entry.state} in the ledger, {flow} {state} in Prefect"
    )
