"""``custody customer``: find one by a reference, and see how much is held, in counts."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, os_user
from custody.errors import Reason, RefusedError, UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody

app = Group("customer", "Find a customer by a reference; see what is held, in counts.")


@app.offers("find")
def find(
    *,
    reference: Annotated[
        list[str], typer.Option(help="NAME=VALUE, such as customer_no=…; repeatable.")
    ],
    source: Annotated[str, typer.Option(help="The source whose number it is.")] = "",
    namespace: Annotated[str, typer.Option(help="Or its namespace.")] = "",
) -> None:
    """Find a customer by identity tag; the ledger notes that somebody looked."""
    from custody.acts.lookup import find_customer
    from custody.identifiers import CUSTOMER, show_id

    with opened() as custody:
        within = namespace_of(custody, source, namespace)
        found = find_customer(custody, os_user(), within, read_references(reference))
    if found is None:
        raise RefusedError("customer", (Reason(code="subject_unknown"),))
    show({"customer": show_id(CUSTOMER, found)})


@app.offers("search")
def search(
    field: Annotated[str, typer.Argument(help="DATASET.FIELD, such as customers.mobile.")],
    value: Annotated[
        str, typer.Argument(help="The value; - to read it from standard input, unseen by others.")
    ],
    *,
    last_four: Annotated[
        bool, typer.Option("--last-four", help="Search by the last four characters.")
    ] = False,
) -> None:
    """Find customers by a value of a record; candidates are opened and compared.

    Only what the policy's `search` of the field allows. The ledger notes that somebody looked.
    """
    from custody.acts.search import search_customers
    from custody.identifiers import CUSTOMER, show_id
    from custody.policy.model import EQUALITY, LAST_FOUR

    dataset, _, name = field.partition(".")
    wanted = sys.stdin.readline().strip() if value == "-" else value
    with opened() as custody:
        how = LAST_FOUR if last_four else EQUALITY
        found = search_customers(custody, os_user(), dataset, name, how, wanted)
    if not found.customers:
        raise RefusedError("customer", (Reason(code="subject_unknown"),))
    shown = [show_id(CUSTOMER, one) for one in found.customers]
    show({"customers": shown, "candidates": found.candidates})


@app.offers("index")
def index() -> None:
    """Write the search indexes anew that are incomplete, too fine or too coarse.

    Every store and every purge ends with it; this is for an index that the policy has just added.
    """
    from custody.acts.search import fit_indexes

    with opened() as custody:
        show({"written": fit_indexes(custody, os_user())})


@app.offers("show")
def show_customer(
    customer: Annotated[str, typer.Argument(help="The customer, cust_….")],
) -> None:
    """Show how much is held of a customer: counts, consents and holds, no values."""
    from custody.acts.lookup import summarise_customer
    from custody.identifiers import HOLD, show_id

    with opened() as custody:
        summary = summarise_customer(custody, require_customer(custody, customer))
    document = {
        "customer": customer,
        "state": summary.state,
        "consents": summary.consents,
        "in_force": summary.in_force,
        "records": dict(summary.records),
        "holds": [show_id(HOLD, one) for one in summary.holds],
        "events": dict(summary.events),
    }
    show(document)


def require_customer(custody: "Custody", shown: str) -> UUID:
    """Return the customer behind a reference.

    Raises:
        UsageError: There is none, or it is no such reference.
    """
    from custody.database.customers import read_customers
    from custody.database.engine import transaction
    from custody.identifiers import CUSTOMER, read_id

    customer_id = read_id(CUSTOMER, shown)
    with transaction(custody.data) as connection:
        if not read_customers(connection, [customer_id]):
            raise UsageError("no such customer", shown)
    return customer_id


def read_references(given: Iterable[str]) -> dict[str, str]:
    """Return references by name from ``NAME=VALUE``."""
    pairs = [one.partition("=") for one in given]
    if not pairs or any(not (name and value) for name, _, value in pairs):
        raise UsageError("a reference is given as NAME=VALUE")
    return {name: value for name, _, value in pairs}


def namespace_of(custody: "Custody", source: str, namespace: str) -> str:
    """Return within which numbers are unique: a namespace of the policy's sources.

    Raises:
        UsageError: Neither or both were given, or there is no such.
    """
    if bool(source) == bool(namespace):
        raise UsageError("say whose numbers these are: --source or --namespace")
    if source:
        return custody.policy.source(source).namespace
    if namespace not in {one.namespace for one in custody.policy.sources.values()}:
        raise UsageError("no source has the namespace", namespace)
    return namespace
