"""Flow runs in the ledger: that one began, who is known to have started it, how it ended."""

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.database.engine import transaction


def record_run(custody: Custody, actor: Actor, flow: str, what: str, state: str) -> None:
    """Append the start or the end of the run that ``actor`` names.

    Args:
        flow: The flow's name.
        what: ``started`` or ``ended``.
        state: Prefect's type of state, such as ``COMPLETED``.
    """
    with transaction(custody.data) as connection:
        record(connection, custody, actor, f"run:flow:{what}", {"flow": flow, "state": state})
