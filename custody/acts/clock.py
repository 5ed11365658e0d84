"""The clock before a destruction: by a clock that jumped nothing may be erased (threats T16)."""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database.ledger import database_time, last_act
from custody.errors import Reason, RefusedError

JUMP: Final = timedelta(hours=24)
# The daily purge leaves an entry every day, so a silence of one day is no jump yet.
SILENCE: Final = JUMP + timedelta(hours=24)


def require_steady_clock(connection: Connection, custody: Custody, subject: str) -> None:
    """Refuse to plan or begin a destruction while the time of day cannot be trusted.

    1. This process's clock and the database's are within a day of each other. 2. The newest act in
    the ledger, dated by the database's clock, is neither of tomorrow nor more than two days old; a
    run's own start does not count, for it would vouch for itself. Where an installation merely
    stood still for days, anything done since, a login for one, shows that somebody is there to see
    the date. Invented people may be destroyed at any time.

    Raises:
        RefusedError: The clock jumped.
    """
    if custody.synthetic:
        return
    shown, last = database_time(connection), last_act(connection)
    apart = abs(custody.now() - shown) > JUMP
    if apart or (last is not None and not -JUMP <= shown - last.at <= SILENCE):
        raise RefusedError(subject, (Reason(code="clock_jumped"),))
