"""``custody destroy``: write down what is due, then erase, verify and certify it."""

from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.asking import read_day
from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, opened_with_prefect, os_user, run_flow
from custody.errors import EXIT_AWAITING

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.database.plans import Plan

app = Group("destroy", "Plans of destruction: write, apply, show.")
Document = dict[str, object]
PlanArgument = Annotated[str, typer.Argument(help="The plan, plan_….")]


@app.offers("plan")
def plan(
    *,
    as_of: Annotated[
        str | None, typer.Option(help="As of this day, YYYY-MM-DD; by default today.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option(help="All records of this customer, cust_…, on request.")
    ] = None,
    batch: Annotated[str | None, typer.Option(help="All that this batch brought.")] = None,
) -> None:
    """Write down what is due and not held: by retention, by withdrawal, or what is named."""
    from custody.acts.planning import Scope, plan_destruction
    from custody.cli.customer import require_customer
    from custody.identifiers import BATCH, PLAN, read_id, show_id

    with opened() as custody:
        scope = Scope(
            as_of=read_day(as_of) if as_of else custody.today(),
            customer_id=require_customer(custody, customer) if customer else None,
            batch_id=read_id(BATCH, batch) if batch else None,
        )
        written = plan_destruction(custody, os_user(), scope)
        document = plan_document(custody, show_id(PLAN, written.id))
    show(document, "plan_written" if document["records"] else "plan_empty")


@app.offers("apply")
def apply(plan: PlanArgument) -> None:
    """Erase what a plan lists, unless held since; read every place back; certify.

    Refused if data or policy moved, or, with real people, if the plan lies in the future.
    """
    from custody.acts.planning import require_plan
    from custody.identifiers import PLAN, read_id

    with opened_with_prefect() as custody:
        from flows.destroy import destroy  # Prefect reads its address when it is imported

        plan_id = require_plan(custody, read_id(PLAN, plan)).id
        receipt = run_flow(destroy, plan_id=plan)
        document = plan_document(custody, plan)
        waits = receipt is None and require_plan(custody, plan_id).summary["needs_approval"]
    if waits:
        show(document, "plan_awaiting")
        raise typer.Exit(EXIT_AWAITING)
    show(document, "plan_applied" if receipt is not None else "plan_empty")


@app.offers("list")
def list_all() -> None:
    """List plans with their state and counts."""
    from custody.database.engine import transaction
    from custody.database.plans import list_plans

    with opened() as custody, transaction(custody.data) as connection:
        rows = [_line(one) for one in list_plans(connection)]
    show({"plans": rows})


@app.offers("show")
def show_plan(plan: PlanArgument) -> None:
    """Show a plan: what is due for which reason, what is held, what became of it."""
    with opened() as custody:
        document = plan_document(custody, plan)
    show(document)


def plan_document(custody: "Custody", shown: str) -> Document:
    """Return a plan with its counts and reasons, and what became of it."""
    from custody.acts.planning import require_plan
    from custody.database.engine import transaction
    from custody.database.plans import find_certificate, outcome_counts
    from custody.identifiers import CERTIFICATE, PLAN, REQUEST, read_id, show_id

    plan = require_plan(custody, read_id(PLAN, shown))
    with transaction(custody.data) as connection:
        certificate = find_certificate(connection, plan.id)
        counts = outcome_counts(connection, plan.id)
    document = _line(plan)
    if plan.request_id is not None:
        document["request"] = show_id(REQUEST, plan.request_id)
    if certificate is not None:
        document["certificate"] = show_id(CERTIFICATE, certificate.id)
    outcomes = [
        {"dataset": c.dataset, "reason": c.reason, "outcome": c.outcome, "rows": c.rows}
        for c in counts
    ]
    due, held = plan.summary["due"], plan.summary["held"]
    apply_it = f"custody destroy apply {shown}"
    follows = {"planned": apply_it, "applying": apply_it}
    if plan.request_id is not None and plan.state == "planned":
        follows = {"planned": f"custody approve {document['request']}"}
    show_it = f"custody certificate show {shown}" if certificate is not None else ""
    document["next"] = follows.get(plan.state, show_it)
    if not plan.summary["records"] or _lies_ahead(custody, plan):
        document["next"] = ""
    return {**document, "due": due, "held": held, "outcomes": outcomes}


def _lies_ahead(custody: "Custody", plan: "Plan") -> bool:
    """Whether a plan that is not begun lies in a future that may not be applied yet."""
    ahead = plan.as_of > custody.today() and not custody.synthetic
    return ahead and plan.state == "planned"


def _line(plan: "Plan") -> Document:
    from custody.identifiers import PLAN, show_id

    return {
        "plan": show_id(PLAN, plan.id),
        "as_of": plan.as_of,
        "state": plan.state,
        "records": plan.summary["records"],
        "customers": plan.summary["customers"],
        "cap": plan.summary["cap"],
        "needs_approval": bool(plan.summary["needs_approval"]),
    }
