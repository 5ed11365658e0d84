"""The beat of a run: a thread of its process that says, while the run lasts, that it is alive."""

import threading
from uuid import UUID

from custody.acts.context import Custody
from custody.acts.leases import BEAT_SECONDS, renew_lease
from custody.database.engine import DatabaseError

_beating: dict[UUID, threading.Event] = {}


def begin_beating(custody: Custody, run_id: UUID) -> None:
    """Renew the lease of a run of this process from now on."""
    over = _beating[run_id] = threading.Event()
    threading.Thread(target=_beat, args=(custody, run_id, over), daemon=True).start()


def stop_beating(run_id: UUID) -> None:
    """Renew it no more, if it is this process that did."""
    over = _beating.pop(run_id, None)
    if over is not None:
        over.set()


def _beat(custody: Custody, run_id: UUID, over: threading.Event) -> None:
    """Renew the lease until the run is over, or taken for lost: then its acts do not happen."""
    while not over.wait(BEAT_SECONDS):
        try:
            if not renew_lease(custody, run_id):
                return
        except DatabaseError:  # it may come back before anybody takes the run for lost
            continue
