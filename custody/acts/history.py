"""Flow runs in the ledger: that one began, who is known to have started it, how it ended."""

from collections.abc import Mapping
from typing import Final

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.canonical import digest
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.database.ledger import RunEntry

STARTED: Final = "started"
ENDED: Final = "ended"
_PARAMETERS: Final = "custody/parameters/v1"


def record_run(
    custody: Custody,
    actor: Actor,
    flow: str,
    what: str,
    state: str,
    more: Mapping[str, object] | None = None,
) -> None:
    """Append the start or the end of the run that ``actor`` names.

    Args:
        flow: The flow's name.
        what: ``started`` or ``ended``; with an end goes how many acts of each kind the run did.
        state: Prefect's type of state, such as ``COMPLETED``.
        more: What else is known: deployment, code, parameters' digest, retries.
    """
    with transaction(custody.data) as connection:
        facts: dict[str, object] = {"flow": flow, "state": state, **(more or {})}
        if what == ENDED:
            facts["acts"] = tables.acts_of_run(connection, actor.run_id)
        record(connection, custody, actor, f"run:flow:{what}", facts)


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
