"""What the draft of a chunk relied on, looked at again under the customers' locks."""

from sqlalchemy import Connection

from custody.acts.basis import Ground, against_basis, consents_for
from custody.acts.context import Custody
from custody.acts.drafting import Draft
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import customers, periods, records
from custody.database.batches import Batch
from custody.database.consents import consents_of
from custody.database.holds import holds_on
from custody.record import from_payload


def require_still_true(
    custody: Custody, connection: Connection, batch: Batch, draft: Draft
) -> None:
    """Lock the customers and look again at everything the draft relied on.

    Raises:
        ChangedMeanwhileError: A customer was erased or renewed, a consent withdrawn, a hold set, an
            alias given, or a period closed since.
    """
    locked = customers.lock_customers(connection, draft.generations)
    for customer, generation in draft.generations.items():
        if locked.get(customer) != (generation, "active"):
            raise ChangedMeanwhileError
    if len(draft.generations) + len(draft.new_customers) != len(
        {one.customer_id for one in draft.planned}
    ):
        raise ChangedMeanwhileError
    _require_basis(custody, connection, batch, draft)
    _require_no_hold(connection, draft)
    if records.one_record_each(connection, draft.new_aliases - draft.new_customers):
        raise ChangedMeanwhileError
    wanted = {one.period for one in draft.planned}
    if set(periods.share_periods(connection, wanted).values()) - {"open"}:
        raise ChangedMeanwhileError


def _require_basis(custody: Custody, connection: Connection, batch: Batch, draft: Draft) -> None:
    dataset = custody.policy.dataset(batch.dataset)
    ground = Ground(dataset=dataset, purpose=custody.policy.purpose(batch.purpose))
    if not ground.purpose.needs_consent:
        return
    consents = consents_of(connection, draft.generations)
    for one in draft.planned:
        values = from_payload(dataset, one.row.values)
        given = consents_for(one.customer_id, consents)
        if against_basis(custody, ground, values, frozenset(values), given):
            raise ChangedMeanwhileError


def _require_no_hold(connection: Connection, draft: Draft) -> None:
    replaced = {one.record_id: one.customer_id for one in draft.planned if one.replaces}
    holds = holds_on(connection, set(replaced.values())) if replaced else []
    if any(hold.covers(record_id) for hold in holds for record_id in replaced):
        raise ChangedMeanwhileError
