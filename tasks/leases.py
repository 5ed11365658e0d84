"""The beat of a run: a thread of its process that says, while the run lasts, that it is alive."""

import threading
from uuid import UUID

from custody.acts.context import Custody
from custody.acts.leases import BEAT_SECONDS, begin_lease, renew_lease
from custody.database.engine import DatabaseError, transaction
from custody.database.leases import end_lease

_beating: dict[UUID, threading.Event] = {}


def begin_beating(custody: Custody, run_id: UUID, flow: str) -> None:
    """Begin the lease of a run of this process.

    Raises:
        RunFencedError: The run was taken for lost before.
    """
    begin_lease(custody, run_id, flow)
    over = _beating[run_id] = threading.Event()
    threading.Thread(target=_beat, args=(custody, run_id, over), daemon=True).start()


def stop_beating(custody: Custody, run_id: UUID) -> None:
    """End the lease of a run, which may have been another process's."""
    over = _beating.pop(run_id, None)
    if over is not None:
        over.set()
    with transaction(custody.data) as connection:
        end_lease(connection, run_id)


def _beat(custody: Custody, run_id: UUID, over: threading.Event) -> None:
    """Renew the lease until the run is over, or taken for lost: then its acts do not happen."""
    while not over.wait(BEAT_SECONDS):
        try:
            if not renew_lease(custody, run_id):
                return
        except DatabaseError:  # it may come back before anybody takes the run for lost
            continue
