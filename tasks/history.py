"""Each run of each flow leaves its start and its end in the ledger, and can be compared again.

Prefect calls hooks by position or, where the process is gone, by the names of their parameters.
"""

import time
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect import Flow, State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from custody.acts.checkpoints import keep_checkpoint, require_extended
from custody.acts.context import Actor, Custody
from custody.acts.history import (
    begin_run,
    end_run,
    parameters_digest,
    pruned_before,
    record_prune,
    runs_in_ledger,
)
from custody.database.ledger import RunEntry
from custody.errors import CustodyError
from tasks.border import withholding
from tasks.code import code_version
from tasks.context import actor_of, custody
from tasks.leases import begin_beating, stop_beating

ENDING_SECONDS: Final = 3.0


@withholding
def begin(flow: Flow[..., Any], flow_run: FlowRun) -> None:
    """Say in the ledger that a run begins, who is known to have started it, and by which code.

    It is part of the flow, not a hook: Prefect goes on when a hook fails, and a run that the ledger
    does not know of, or on a ledger that was cut, is to do nothing.

    Raises:
        CheckpointContradictedError: The ledger is not the one that was signed.
        RunFencedError: The run was taken for lost before.
    """
    require_extended(custody())
    facts = {
        "code": code_version(),
        "deployment": str(flow_run.deployment_id or ""),
        "parameters": _parameters(flow, flow_run),
    }
    begin_run(custody(), actor_of(flow_run), flow.name, facts)
    begin_beating(custody(), flow_run.id)


@withholding
def run_ended(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Say in the ledger how a run ended, and keep a checkpoint of all it did."""
    stop_beating(flow_run.id)
    facts = {"retries": max(flow_run.run_count - 1, 0)}
    end_run(custody(), actor_of(flow_run), flow.name, state.type.value, facts)
    keep_checkpoint(custody())


def _parameters(flow: Flow[..., Any], flow_run: FlowRun) -> str:
    """Return the digest of a run's parameters; of wrong ones none, for they may be anything."""
    try:
        taken = flow.validate_parameters(flow_run.parameters)
    except CustodyError:
        return ""
    plain = {
        name: value.model_dump_json() if isinstance(value, BaseModel) else value
        for name, value in taken.items()
    }
    return parameters_digest(plain)


HOOKS: Final = {
    "on_completion": [run_ended],
    "on_failure": [run_ended],
    "on_crashed": [run_ended],
    "on_cancellation": [run_ended],
}


def compare_runs(custody: Custody, newest: int | None = None) -> tuple[int, list[str]]:
    """Return how many runs the ledger names, and every difference from what Prefect says of them.

    With ``newest`` only that many are compared.

    Prefect's history is no evidence by itself: anybody with its API can change it. The ledger is
    what it is compared with.
    """
    entries, differences = _compare(custody, newest)
    if differences:  # a run that is just ending says so to Prefect first
        time.sleep(ENDING_SECONDS)
        entries, differences = _compare(custody, newest)
    return entries, differences


def _compare(custody: Custody, newest: int | None) -> tuple[int, list[str]]:
    entries = runs_in_ledger(custody)[-newest if newest else 0 :]
    pruned = pruned_before(custody)
    with get_client(sync_client=True) as client:
        told = [(entry, _differs(client, entry)) for entry in entries]
    return len(entries), [
        difference
        for entry, difference in told
        if difference and not (difference == _unknown(entry) and _ended_before(entry, pruned))
    ]


def _ended_before(entry: RunEntry, before: datetime | None) -> bool:
    return before is not None and entry.ended_at is not None and entry.ended_at < before


def prune_runs(custody: Custody, actor: Actor, days: int, *, dry_run: bool) -> tuple[int, int]:
    """Remove from Prefect runs that ended so long ago, where the ledger says the same of them.

    The ledger says first that they go.

    Returns:
        How many went, or would go, and how many old ones stay because Prefect says otherwise.
    """
    before = custody.now() - timedelta(days=days)
    old = [one for one in runs_in_ledger(custody) if _ended_before(one, before)]
    with get_client(sync_client=True) as client:
        told = {one.run_id: (one, _differs(client, one)) for one in old}
        going = [run_id for run_id, (_, difference) in told.items() if not difference]
        kept = [one for one, said in told.values() if said and said != _unknown(one)]
        if going and not dry_run:
            record_prune(custody, actor, before, going)
            for run_id in going:
                client.delete_flow_run(UUID(run_id))
    return len(going), len(kept)


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


def _unknown(entry: RunEntry) -> str:
    return f"run {entry.run_id}: Prefect has no such run"


def _differs(client: SyncPrefectClient, entry: RunEntry) -> str:
    """Return how Prefect's run differs from the ledger's, empty where it does not."""
    try:
        run = client.read_flow_run(UUID(entry.run_id))
    except ObjectNotFound:
        return _unknown(entry)
    flow = client.read_flow(run.flow_id).name
    state = run.state.type.value if run.state else ""
    if (flow, state) == (entry.flow, entry.state):
        return ""
    return (
        f"run {entry.run_id}: {entry.flow} {entry.state} in the ledger, {flow} {state} in Prefect"
    )
