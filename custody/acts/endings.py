"""Ending data keys: what survives under them is sealed again, then the keys are deleted.

1. The keys are retired: they still open, and are never handed out again. 2. Under the customers'
locks their generations are raised, so that a store in flight under these keys redoes its rows, and
the surviving records are opened and sealed under fresh keys, in the period they now belong to.
3. The keys are deleted. 4. The intent is struck off and the ledger says so. Every step can be
repeated; the intent was written by the act that decided it.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import structs
from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.leases import require_lease
from custody.acts.recording import record
from custody.acts.sealing import OpenRecord, open_records, seal_payloads
from custody.database import customers as customer_tables
from custody.database import endings, periods, records
from custody.database.engine import transaction
from custody.record import RecordRow
from custody.retention import period_of
from custody.seal import DataKey
from custody.steps import reached


def finish_endings(
    custody: Custody, actor: Actor, customers: Sequence[UUID] | None = None, *, chunk: int = 200
) -> int:
    """End every key that must end, of these customers or of all, and return how many there were."""
    with transaction(custody.data) as connection:
        pending = endings.customers_pending(connection, customers)
    return sum(
        _end(custody, actor, pending[start : start + chunk])
        for start in range(0, len(pending), chunk)
    )


def _end(custody: Custody, actor: Actor, customers: Sequence[UUID]) -> int:
    with transaction(custody.data) as connection:
        require_lease(connection, actor)
        keys = endings.keys_ending(connection, customers)
    custody.keyring.retire(keys)
    reached("endings:keys-retired")
    _reseal(custody, customers, keys)
    reached("endings:survivors-resealed")
    deleted = custody.keyring.delete_retired(keys, custody.now())
    reached("endings:keys-deleted")
    with transaction(custody.data) as connection:
        endings.endings_done(connection, keys)
        facts = {"keys": len(keys), "customers": len(customers), "deleted_now": deleted}
        record(connection, custody, actor, "key:data:deleted", facts)
    reached("endings:struck-off")
    return len(keys)


def _reseal(custody: Custody, customers: Sequence[UUID], keys: Sequence[UUID]) -> None:
    """Seal survivors again, in one transaction under their customers' locks."""
    with transaction(custody.data) as connection:
        rows = [r for r in records.records_of(connection, customers) if r.key_id in set(keys)]
    with transaction(custody.data) as connection:
        for period in sorted({_period(custody, row) for row in rows}):
            periods.open_period(connection, period)
    with transaction(custody.data) as connection:
        locked = _raise_generations(connection, customers)
        survivors = endings.lock_survivors(connection, customers, keys)
        if not survivors:
            return
        fresh = _fresh_keys(custody, survivors, locked)
        moved = [_sealed_again(custody, one, fresh) for one in open_records(custody, survivors)]
        _write(connection, survivors, moved)


def _raise_generations(connection: Connection, customers: Sequence[UUID]) -> dict[UUID, int]:
    """Lock the customers and raise the generation of the active ones; return what it is now.

    A store in flight may hold a key that was retired after it was handed out. Its rows would come
    after the survivors were looked for, and lie under a key that is gone; so it must redo them.
    """
    locked = customer_tables.lock_customers(connection, customers)
    active = [customer for customer, (_, state) in locked.items() if state == "active"]
    customer_tables.raise_generations(connection, active, "active")
    return {customer: g + (state == "active") for customer, (g, state) in locked.items()}


def _write(connection: Connection, before: Sequence[RecordRow], after: Sequence[RecordRow]) -> None:
    for old, new in zip(before, after, strict=True):
        endings.reseal_record(connection, new, old.key_id)
    records.move_record_keys(connection, after)


def _fresh_keys(
    custody: Custody, rows: Sequence[RecordRow], generations: dict[UUID, int]
) -> dict[tuple[UUID, str], DataKey]:
    wanted = {
        (row.customer_id, _period(custody, row)): generations[row.customer_id] for row in rows
    }
    return custody.keyring.data_keys(wanted, custody.now())


def _period(custody: Custody, row: RecordRow) -> str:
    return period_of(row.ends_on, custody.today())


def _sealed_again(
    custody: Custody, opened: OpenRecord, fresh: dict[tuple[UUID, str], DataKey]
) -> RecordRow:
    row = opened.row
    period = _period(custody, row)
    key = fresh[row.customer_id, period]
    seals = seal_payloads(
        custody,
        key,
        opened.payloads,
        record_id=row.id,
        customer_id=row.customer_id,
        dataset=row.dataset,
        version=row.version,
    )
    return structs.replace(
        row,
        period=period,
        key_id=key.key_id,
        **seals,
    )
