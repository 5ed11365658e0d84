"""Leases: a run says that it is alive; in the name of one that fell silent nothing is done.

A run's process can be gone without anybody's noticing, and it can be thought gone and come back: a
machine that slept, a network that was cut. So whoever takes a run for lost first **fences** it, and
every act of a run looks at that in its own transaction, where it reaches the ledger: either the
fence passes the run by, for its lease is locked, or the act finds the fence and does not happen.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.database import leases
from custody.database.engine import transaction
from custody.errors import CustodyError

BEAT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 60.0


class RunFencedError(CustodyError):
    """The run was taken for lost, and another may do its work by now; it does nothing more."""

    code = "run_fenced"

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        """Return which run it is."""
        return f"the run was taken for lost: {self.run_id}"


def begin_lease(connection: Connection, run_id: UUID, flow: str) -> None:
    """Begin the lease of a run whose process is this one.

    Raises:
        RunFencedError: The run was taken for lost before.
    """
    if not leases.begin_lease(connection, run_id, flow):
        raise RunFencedError(str(run_id))


def renew_lease(custody: Custody, run_id: UUID) -> bool:
    """Say that this process is alive, and return whether the run may go on."""
    with transaction(custody.data) as connection:
        return leases.renew_lease(connection, run_id)


def require_lease(connection: Connection, actor: Actor) -> None:
    """Check, in an act's transaction, that the actor's run has its lease still.

    Raises:
        RunFencedError: It was taken for lost, or never had one.
    """
    if actor.run_id and not leases.is_held(connection, UUID(actor.run_id)):
        raise RunFencedError(actor.run_id)


def fence_silent_runs(custody: Custody, seconds: float = SILENT_SECONDS) -> dict[UUID, str]:
    """Fence runs that were silent for so long; return all whose end is not recorded, with flows."""
    with transaction(custody.data) as connection:
        leases.fence_silent(connection, seconds)
        return leases.fenced_runs(connection)


def fence_unbegun_runs(custody: Custody, runs: Mapping[UUID, str]) -> set[UUID]:
    """Fence runs that never began a lease, so that they begin none; return which these are.

    Args:
        runs: Runs that Prefect has at work, with their flows.
    """
    with transaction(custody.data) as connection:
        unknown = set(runs) - leases.runs_with_lease(connection, list(runs))
        return {one for one in unknown if leases.fence_unbegun(connection, one, runs[one])}
