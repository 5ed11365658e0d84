"""``custody hold`` and ``custody event``: what keeps records, and what starts their clocks."""

from typing import Annotated

import typer

from custody.cli.asking import read_day
from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, os_user

app = Group("hold", "Legal holds: add, lift, list.")
CustomerArgument = Annotated[str, typer.Argument(help="The customer, cust_….")]


@app.offers("add")
def add(
    customer: CustomerArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; a reference, no personal data.")],
    record: Annotated[str | None, typer.Option(help="Only this record, rec_….")] = None,
) -> None:
    """Keep a customer's records, or one of them, from destruction until the hold is lifted."""
    from custody.acts.holds import add_hold
    from custody.identifiers import CUSTOMER, HOLD, RECORD, read_id, show_id

    with opened() as custody:
        record_id = read_id(RECORD, record) if record else None
        hold = add_hold(custody, os_user(), read_id(CUSTOMER, customer), reason, record_id)
    show({"hold": show_id(HOLD, hold.id), "customer": customer}, "hold_set")


@app.offers("lift")
def lift(hold: Annotated[str, typer.Argument(help="The hold, hold_….")]) -> None:
    """Lift a hold; what became due meanwhile is in the next plan."""
    from custody.acts.holds import lift_hold
    from custody.identifiers import HOLD, read_id

    with opened() as custody:
        lift_hold(custody, os_user(), read_id(HOLD, hold))
    show({"hold": hold}, "hold_lifted")


@app.offers("list")
def list_all() -> None:
    """List the holds in force."""
    from custody.database.engine import transaction
    from custody.database.holds import holds_on
    from custody.identifiers import CUSTOMER, HOLD, RECORD, show_id

    with opened() as custody, transaction(custody.data) as connection:
        holds = holds_on(connection)
    rows = [
        {
            "hold": show_id(HOLD, one.id),
            "customer": show_id(CUSTOMER, one.customer_id),
            "record": show_id(RECORD, one.record_id) if one.record_id else "",
            "reason": one.reason,
            "set_at": one.set_at,
            "set_by": one.set_by,
        }
        for one in holds
    ]
    show({"holds": rows})


def event(
    customer: CustomerArgument,
    what: Annotated[
        str,
        typer.Argument(
            metavar="EVENT", help="relationship_ended, purpose_fulfilled or service_stopped."
        ),
    ],
    *,
    on: Annotated[str, typer.Option(help="The day it happened, YYYY-MM-DD.")],
) -> None:
    """Record an event that starts retention clocks."""
    from custody.acts.holds import record_event
    from custody.cli.customer import require_customer

    with opened() as custody:
        customer_id = require_customer(custody, customer)
        day = read_day(on)
        count = record_event(custody, os_user(), customer_id, what, day)
    document = {"customer": customer, "event": what, "on": day, "records": count}
    show(document, "event_recorded")
