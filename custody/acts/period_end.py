"""The end of an expiry period: what is held moves on, its partition goes, then its keys for good.

Within its quarter a due record is deleted daily; here that becomes final for all of them at once,
however many there were, for it is the key-encryption keys that are destroyed. Steps:

1. The period is ``closing``: nothing enters any more, and a hold set from now on moves its record
   itself. 2. What is held, or falls due later by now, is sealed again in the present quarter.
3. In one transaction, with everybody locked out of the records for that moment: the period is
   empty; its partition is dropped; it is ``closed``; the ledger states that its keys will go.
4. In the key database its buckets are closed, so that no key is made in them again. 5. The keystore
   is rotated without its key-encryption keys. 6. Its data keys, noise by now, are deleted. 7. The
   ledger says so.

Killed anywhere and run again it comes to the same end; between 3 and 5 nothing lies in the period.
"""

import time
from datetime import date
from typing import Final

from sqlalchemy import text

from custody.acts.clock import require_steady_clock
from custody.acts.context import Actor, Custody
from custody.acts.endings import finish_endings
from custody.acts.leases import require_lease
from custody.acts.recording import record
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import endings, periods
from custody.database.engine import DatabaseError, transaction
from custody.database.periods import LeftRecord
from custody.errors import Reason, RefusedError, UsageError
from custody.keys.turning import PeriodReceipt
from custody.retention import is_due, last_day_of
from custody.steps import reached

_PAGE: Final = 500
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.2
_LOCK_OUT: Final = (
    text("SET LOCAL lock_timeout = '2s'"),
    text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"),
)


def close_period(custody: Custody, actor: Actor, period: str) -> PeriodReceipt:
    """End an expiry period that is over; running it again is success.

    Raises:
        UsageError: There is no such period, or it is not over yet.
        RefusedError: Records lie in it that are due and not held: they are destroyed by a plan
            first, with the approvals that needs; or the clock jumped.
        ChangedMeanwhileError: Others read or hold records all the while; it can be run again.
        SealInvalidError: A held record does not open; the period stays as it is.
    """
    last_day = _require_over(custody, period)
    _begin(custody, actor, period)
    _end(custody, actor, period, last_day)
    receipt = custody.keyring.turner.close_period(period, custody.now(), custody.today())
    with transaction(custody.data) as connection:
        if receipt.destroyed or period not in periods.destroyed_periods(connection):
            # A run that was killed may have done some of it before: the buckets count all of it.
            facts = {
                "period": period,
                "buckets": receipt.buckets,
                "destroyed_now": receipt.destroyed,
                "deleted_now": receipt.keys,
                "root": receipt.root,
            }
            periods.note_destroyed(connection, period)
            record(connection, custody, actor, "period:keys:destroyed", facts)
    return receipt


def periods_to_end(custody: Custody) -> list[str]:
    """Return the periods that are over and whose keys are not destroyed."""
    with transaction(custody.data) as connection:
        known = periods.list_periods(connection)
        ended = periods.destroyed_periods(connection)
    today = custody.today()
    return [name for name in known if is_due(last_day_of(name), today) and name not in ended]


def _require_over(custody: Custody, period: str) -> date:
    last_day = last_day_of(period)
    if last_day is None or not is_due(last_day, custody.today()):
        raise UsageError("the period is not over yet", period)
    return last_day


def _begin(custody: Custody, actor: Actor, period: str) -> None:
    with transaction(custody.data) as connection:
        require_lease(connection, actor)
        require_steady_clock(connection, custody, period)
        state = periods.lock_period(connection, period)
        if state is None:
            raise UsageError("no such period", period)
        if state == "open":
            periods.set_period_state(connection, period, "closing")
            record(connection, custody, actor, "period:end:begun", {"period": period})
    reached("period:closing")


def _end(custody: Custody, actor: Actor, period: str, last_day: date) -> None:
    """Move on what stays, and drop the empty partition; holds may still come in between."""
    for attempt in range(_ATTEMPTS):
        _move_on(custody, actor, period, last_day)
        try:
            left = _drop(custody, actor, period, last_day)
        except DatabaseError as error:
            if not (error.is_deadlock or error.is_lock_timeout):
                raise
            time.sleep(attempt * _PAUSE_SECONDS)
            continue
        if not left:
            return
    raise ChangedMeanwhileError


def _move_on(custody: Custody, actor: Actor, period: str, last_day: date) -> None:
    """Seal again, in the present quarter, what is held or falls due later."""
    while staying := _staying(custody, period, last_day):
        with transaction(custody.data) as connection:
            ids = [one.id for one in staying]
            endings.end_keys_of_records(connection, ids, "rebased", custody.now())
        reached("period:moves-decided")
        finish_endings(custody, actor, sorted({one.customer_id for one in staying}))
        reached("period:moved-on")


def _staying(custody: Custody, period: str, last_day: date) -> list[LeftRecord]:
    with transaction(custody.data) as connection:
        left = periods.records_left(connection, period, last_day, _PAGE)
    _require_none_due(period, left)
    return left


def _require_none_due(period: str, left: list[LeftRecord]) -> None:
    due = [one for one in left if not (one.held or one.rebased)]
    if due:
        reason = Reason(code="period_not_empty", about=period, count=len(due))
        raise RefusedError(period, (reason,))


def _drop(custody: Custody, actor: Actor, period: str, last_day: date) -> list[LeftRecord]:
    """Drop the partition unless something lies in it, which is returned."""
    with transaction(custody.data) as connection:
        if periods.lock_period(connection, period) == "closed":
            return []
    with transaction(custody.data) as connection:
        for statement in _LOCK_OUT:
            connection.execute(statement)
        if periods.lock_period(connection, period) == "closed":
            return []
        left = periods.records_left(connection, period, last_day, _PAGE)
        if not left:
            periods.end_period(connection, period)
            record(connection, custody, actor, "period:data:ended", {"period": period})
    reached("period:dropped")
    _require_none_due(period, left)
    return left
