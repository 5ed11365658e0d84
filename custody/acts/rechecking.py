"""What the draft of a chunk relied on, looked at again under the customers' locks."""

from sqlalchemy import Connection

from custody.acts.draft import Draft
from custody.acts.subjects import ChangedMeanwhileError
from custody.database import consents, customers, periods, records
from custody.database.holds import holds_on


def require_still_true(connection: Connection, draft: Draft) -> None:
    """Lock the customers and look again at everything the draft relied on.

    Raises:
        ChangedMeanwhileError: A customer was erased or renewed, a consent came or was withdrawn, a
            hold was set, an alias given, or a period closed since.
    """
    locked = customers.lock_customers(connection, draft.generations)
    for customer, generation in draft.generations.items():
        if locked.get(customer) != (generation, "active"):
            raise ChangedMeanwhileError
    if len(draft.generations) + len(draft.new_customers) != len(
        {one.customer_id for one in draft.planned}
    ):
        raise ChangedMeanwhileError
    _require_same_consents(connection, draft)
    _require_no_hold(connection, draft)
    if records.one_record_each(connection, draft.newly_named - draft.new_customers):
        raise ChangedMeanwhileError
    wanted = {one.period for one in draft.planned}
    if set(periods.share_periods(connection, wanted).values()) - {"open"}:
        raise ChangedMeanwhileError


def _require_same_consents(connection: Connection, draft: Draft) -> None:
    """Require that no consent of whoever the draft looked at has changed."""
    if draft.consents_mark is None:
        return
    if consents.mark_of_consents(connection, draft.looked_at) != draft.consents_mark:
        raise ChangedMeanwhileError


def _require_no_hold(connection: Connection, draft: Draft) -> None:
    replaced = {one.record_id: one.customer_id for one in draft.planned if one.replaces}
    holds = holds_on(connection, set(replaced.values())) if replaced else []
    if any(hold.covers(record_id) for hold in holds for record_id in replaced):
        raise ChangedMeanwhileError
