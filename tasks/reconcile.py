"""The steps that bring record and reality together, as Prefect performs them.

What a run is and how it ended stands in two places: in Prefect, which anybody with its API can
change and everybody prunes, and in the ledger, which is the record. A process that is killed leaves
both half told. These steps finish the telling; the work itself is finished by running it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from custody.acts.context import Actor, Established
from custody.acts.history import RUNNING, end_run, runs_in_ledger
from custody.acts.leases import SILENT_SECONDS, fence_silent_runs, fence_unbegun_runs
from custody.database.ledger import RunEntry
from tasks.artifacts import publish
from tasks.border import step
from tasks.context import custody
from tasks.events import announce
from tasks.history import compare_runs

_TAG: Final = "custody"  # of every deployment of ours
_AGAIN: Final = "again:"
_MOST_AGAIN: Final = 3
_PAGE: Final = 200
_ASKS: Final = frozenset({"use", "transfer"})
_GONE: Final = "its process is gone"
_LEFT: Final = "`custody verify --prefect` names what is left. · 余下差异见该命令。"
_LATELY: Final = timedelta(days=1)
_BEGUN: Final = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciled:
    """What was brought together.

    Attributes:
        lost: Runs whose process was gone, which Prefect now calls crashed.
        adopted: Runs whose end the ledger did not know.
        again: Runs that were started again.
        announced: Requests that nobody had announced.
        left: Differences between ledger and Prefect that stay, which people must look at.
    """

    lost: int
    adopted: int
    again: int
    announced: int
    left: int


@step
def end_lost_runs() -> list[str]:
    """Fence runs whose process fell silent, call them crashed, and return them."""
    with get_client(sync_client=True) as client:
        lost = set(fence_silent_runs(custody())) | _never_begun(client)
        for run_id in lost:
            run = _find(client, run_id)
            if run is not None and not _is_over(run):
                client.set_flow_run_state(run_id, Crashed(message=_GONE), force=True)
    return sorted(map(str, lost))


@step
def adopt_ends(lost: list[str]) -> int:
    """Record the ends that the ledger does not know, and return how many there were."""
    known = {entry.run_id: entry for entry in runs_in_ledger(custody())}
    adopted = 0
    with get_client(sync_client=True) as client:
        waiting = {one.run_id for one in known.values() if one.state == RUNNING} | set(lost)
        found = {run_id: _find(client, UUID(run_id)) for run_id in waiting}
        found |= {
            str(run.id): run
            for run in _runs(client, tuple(TERMINAL_STATES))
            if str(run.id) not in known
        }
        for run_id, run in found.items():
            state = _end_of(run, is_lost=run_id in lost)
            if state:
                _adopt(client, run_id, known.get(run_id), run, state)
                adopted += 1
    return adopted


@step
def run_again() -> int:
    """Start runs of deployments that crashed lately again, where that is safe; return how many."""
    after = datetime.now(UTC) - _LATELY
    with get_client(sync_client=True) as client:
        crashed = [run for run in _runs(client, (StateType.CRASHED,)) if _since(run) > after]
        done = _keys_there(client, [_key(run) for run in crashed])
        waiting = [run for run in crashed if _key(run) not in done and _is_safe(client, run)]
        for run in waiting:
            client.create_flow_run_from_deployment(
                cast("UUID", run.deployment_id),
                parameters=run.parameters,
                tags=[f"{_AGAIN}{_times(run.tags) + 1}"],
                idempotency_key=_key(run),
            )
    return len(waiting)


@step
def announce_requests() -> int:
    """Emit the events of requests that nobody announced yet; return how many."""
    return announce(custody())


@step
def tell_reconciled(lost: int, adopted: int, again: int, announced: int) -> Reconciled:
    """Compare what is left, and leave the counts in the UI where there was anything."""
    _, differences = compare_runs(custody(), newest=_PAGE)
    done = Reconciled(
        lost=lost, adopted=adopted, again=again, announced=announced, left=len(differences)
    )
    counts = {"lost": lost, "adopted": adopted, "again": again, "announced": announced}
    counts["left"] = done.left
    if any(counts.values()):
        publish("reconcile", "", counts, {}, note=_LEFT if done.left else "")
    return done


def _never_begun(client: SyncPrefectClient) -> set[UUID]:
    """Fence runs that Prefect has at work for long and that never said a word; return them."""
    before = datetime.now(UTC) - timedelta(seconds=2 * SILENT_SECONDS)
    runs = [run for run in _runs(client, _BEGUN) if _since(run) < before]
    flows = {run.id: client.read_flow(run.flow_id).name for run in runs}
    return fence_unbegun_runs(custody(), flows)


def _runs(client: SyncPrefectClient, states: tuple[StateType, ...]) -> list[FlowRun]:
    """Return the newest runs of our deployments in one of some states."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[_TAG])),
        sort=FlowRunSort.START_TIME_DESC,
        limit=_PAGE,
    )


def _since(run: FlowRun) -> datetime:
    """Return since when a run is in its state."""
    return run.state.timestamp if run.state is not None else datetime.now(UTC)


def _find(client: SyncPrefectClient, run_id: UUID) -> FlowRun | None:
    try:
        return client.read_flow_run(run_id)
    except ObjectNotFound:
        return None


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _end_of(run: FlowRun | None, *, is_lost: bool) -> str:
    """Return the state in which a run ended; empty while it goes on, or may yet say so itself."""
    settled = datetime.now(UTC) - timedelta(seconds=SILENT_SECONDS)
    if run is not None and run.state is not None and run.state.is_final():
        return run.state.type.value if is_lost or _since(run) < settled else ""
    return StateType.CRASHED.value if is_lost else ""


def _adopt(
    client: SyncPrefectClient,
    run_id: str,
    begun: RunEntry | None,
    run: FlowRun | None,
    state: str,
) -> None:
    """Record the end of a run in its place; who started it stands in its start, or is not known."""
    who = Actor(how="unidentified", run_id=run_id)
    if begun is not None:
        who = Actor(how=cast("Established", begun.how), name=begun.actor, run_id=run_id)
    flow = begun.flow if begun else client.read_flow(run.flow_id).name if run else ""
    end_run(custody(), who, flow, state, {"adopted": 1})


def _times(tags: Iterable[str]) -> int:
    """Return how often a run's work was started again before it."""
    found = [tag.removeprefix(_AGAIN) for tag in tags if tag.startswith(_AGAIN)]
    return max((int(one) for one in found if one.isdecimal()), default=0)


def _is_safe(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether running it again ends as one run would: everything but what would draft anew."""
    flow = client.read_flow(run.flow_id).name
    drafts = flow in _ASKS and not run.parameters.get("request_id")
    return not drafts and _times(run.tags) < _MOST_AGAIN


def _key(run: FlowRun) -> str:
    """Return the key under which a run's work is started again, once."""
    return f"again-{run.id}"


def _keys_there(client: SyncPrefectClient, keys: list[str]) -> set[str]:
    wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
    found = client.read_flow_runs(flow_run_filter=wanted) if keys else []
    return {str(run.idempotency_key) for run in found}
