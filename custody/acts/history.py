"""Flow runs in the ledger: that one began, who is known to have started it, how it ended."""

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.database.ledger import RunEntry


def record_run(custody: Custody, actor: Actor, flow: str, what: str, state: str) -> None:
    """Append the start or the end of the run that ``actor`` names.

    Args:
        flow: The flow's name.
        what: ``started`` or ``ended``.
        state: Prefect's type of state, such as ``COMPLETED``.
    """
    with transaction(custody.data) as connection:
        record(connection, custody, actor, f"run:flow:{what}", {"flow": flow, "state": state})


def runs_in_ledger(custody: Custody) -> list[RunEntry]:
    """Return the last that the ledger says of each flow run."""
    with transaction(custody.data) as connection:
        return tables.run_entries(connection)
