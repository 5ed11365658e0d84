"""Flow runs in the ledger: that one began, who is known to have started it, how it ended."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.leases import begin_lease
from custody.acts.recording import record
from custody.canonical import digest
from custody.database import leases
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.database.ledger import RunEntry

RUNNING: Final = "RUNNING"
_PARAMETERS: Final = "custody/parameters/v1"


def begin_run(custody: Custody, actor: Actor, flow: str, facts: Mapping[str, object]) -> None:
    """Begin the lease of the run that ``actor`` names and append its start, or neither.

    Args:
        flow: The flow's name.
        facts: What is known of it: deployment, code, parameters' digest.

    Raises:
        RunFencedError: The run was taken for lost before.
    """
    with transaction(custody.data) as connection:
        begin_lease(connection, UUID(actor.run_id), flow)
        said = {"flow": flow, "state": RUNNING, **facts}
        record(connection, custody, actor, "run:flow:started", said)


def end_run(
    custody: Custody, actor: Actor, flow: str, state: str, facts: Mapping[str, object]
) -> None:
    """Append the end of a run, with how many acts of each kind it did, and end its lease.

    Args:
        flow: The flow's name.
        state: Prefect's type of state, such as ``COMPLETED``.
        facts: What else is known: retries, whether it was adopted.
    """
    with transaction(custody.data) as connection:
        acts = tables.acts_of_run(connection, actor.run_id)
        said = {"flow": flow, "state": state, "acts": acts, **facts}
        leases.end_lease(connection, UUID(actor.run_id))
        record(connection, custody, actor, "run:flow:ended", said)


def record_prune(custody: Custody, actor: Actor, before: datetime, run_ids: Sequence[str]) -> None:
    """Append that runs are about to be removed from Prefect, which the ledger keeps."""
    with transaction(custody.data) as connection:
        facts = {
            "before": before.isoformat(),
            "runs": len(run_ids),
            "digest": digest("custody/pruned/v1", sorted(run_ids)).hex(),
        }
        record(connection, custody, actor, "history:runs:pruned", facts)


def pruned_before(custody: Custody) -> datetime | None:
    """Return before when a run must have ended for its absence from Prefect to be in order."""
    with transaction(custody.data) as connection:
        entries = tables.entries_of(connection, ["history:runs:pruned"])
    found = [json.loads(one.body)["facts"]["before"] for one in entries]
    return max(map(datetime.fromisoformat, found), default=None)


def record_artifact(custody: Custody, actor: Actor, key: str, page: str) -> None:
    """Append what a run left for Prefect's UI, by its digest: a page there can be changed."""
    with transaction(custody.data) as connection:
        facts = {"artifact": key, "digest": digest("custody/artifact/v1", page).hex()}
        record(connection, custody, actor, "run:artifact:published", facts)


def parameters_digest(parameters: Mapping[str, object]) -> str:
    """Return the digest of a run's parameters, once they were found to be what the flow takes."""
    plain = {
        name: value if isinstance(value, str) else int(value) if isinstance(value, int) else ""
        for name, value in parameters.items()
    }
    return digest(_PARAMETERS, plain).hex()


def runs_in_ledger(custody: Custody) -> list[RunEntry]:
    """Return what the ledger says of each flow run, in the order in which they began."""
    with transaction(custody.data) as connection:
        return tables.run_entries(connection)
