"""A legacy database in English, taken in as it is: Chinook, counted against SQL on the source."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from own_databases import Databases
from running_stack import Stack, in_this_process
from sqlalchemy import text as sql

from config.installation import now, places, policy_folder
from config.settings import load_settings
from custody.acts.context import Actor, Custody
from custody.acts.planning import Scope, plan_destruction
from custody.acts.reveal import reveal
from custody.acts.setup import create_installation
from custody.acts.verify import verify_installation
from custody.database.engine import transaction
from custody.embedded.runtime import Running
from custody.identifiers import PLAN, show_id
from custody.policy.load import load_policy

pytestmark = pytest.mark.slow

SHELL = Actor(how="os-user", name="tester")
# Five years after the middle of what Chinook sold: some customers then have nothing younger left.
AS_OF = date(2029, 6, 30)
DUE = "date(substr(InvoiceDate, 1, 10), '+5 years') < ?"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Chinook in custody: the receipts of both sources, and the source itself."""

    custody: Custody
    receipts: dict[str, Any]
    source: sqlite3.Connection

    def count(self, query: str, *values: object) -> int:
        """Return what a query on the source counts."""
        return int(self.source.execute(query, values).fetchone()[0])

    def invoices(self, condition: str = "1", *values: object) -> Counter[str]:
        """Return how many invoices each customer has in the source."""
        query = f"SELECT CustomerId, count(*) FROM Invoice WHERE {condition} GROUP BY 1"
        return Counter({str(row[0]): row[1] for row in self.source.execute(query, values)})


@pytest.fixture
def taken(
    stack: Stack,
    databases: Databases,
    chinook: Path,
    short_tmp: Path,
) -> Iterator[Taken]:
    file = chinook / "Chinook_Sqlite.sqlite"
    variables = {
        "CUSTODY_HOME": str(short_tmp),
        "CUSTODY_DATABASE_URL": databases.app_url,
        "CUSTODY_KEYS_URL": databases.keys_url,
        "CUSTODY_CHINOOK_URL": f"sqlite:///{file}",
    }
    source = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    with in_this_process(stack, variables) as custody:
        create(databases)
        receipts = {name: take_in(name) for name in ("chinook_customers", "chinook_invoices")}
        yield Taken(custody=custody(), receipts=receipts, source=source)  # type: ignore[arg-type]
    source.close()


def create(databases: Databases) -> None:
    settings = load_settings()
    (settings.home / "keys").mkdir(mode=0o700)
    where = Running(database_url=databases.app_url, keys_url=databases.keys_url)
    policy = load_policy(policy_folder(settings))
    create_installation(places(settings, where), policy, SHELL, now, synthetic=True)


def take_in(source: str) -> Any:
    """Take a source in by the real flows and return its last receipt."""
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.store import store  # noqa: PLC0415

    return store(ingest(source).batch_id)


def records(custody: Custody, dataset: str) -> dict[UUID, tuple[Any, ...]]:
    """Return every column of every record of a dataset, as the database holds it."""
    with transaction(custody.data) as connection:
        rows = connection.execute(sql("SELECT * FROM records WHERE dataset = :d"), {"d": dataset})
        return {row.id: tuple(row) for row in rows}


def customers_of(custody: Custody, dataset: str) -> Counter[str]:
    """Return how many records each customer number has, from what was sealed."""
    found = reveal(
        custody,
        SHELL,
        record_ids=list(records(custody, dataset)),
        fields=frozenset({"customer_no"}),
        event="test:records:counted",
        facts={},
    )
    return Counter(str(one.values["customer_no"]) for one in found)


def test_all_of_chinook_goes_through_ingest_and_store(taken: Taken) -> None:
    expected = {
        "chinook_customers": taken.count("SELECT count(*) FROM Customer"),
        "chinook_invoices": taken.count("SELECT count(*) FROM Invoice"),
    }
    assert expected == {"chinook_customers": 59, "chinook_invoices": 412}
    for name, rows in expected.items():
        receipt = taken.receipts[name]
        assert (receipt.read, receipt.accepted, receipt.stored) == (rows, rows, rows), receipt
        assert (receipt.refused, receipt.reasons) == (0, {})
    assert customers_of(taken.custody, "transactions") == taken.invoices()
    assert sum(customers_of(taken.custody, "customers").values()) == 59


def test_addresses_with_letters_beyond_ascii_are_kept(taken: Taken) -> None:
    found = reveal(
        taken.custody,
        SHELL,
        record_ids=list(records(taken.custody, "customers")),
        fields=frozenset({"email"}),
        event="test:records:counted",
        facts={},
    )
    kept = {str(one.values["email"]) for one in found}
    assert "stanisław.wójcik@wp.pl" in kept
    assert len(kept) == taken.count("SELECT count(DISTINCT Email) FROM Customer")


def test_destroying_by_record_leaves_all_others_as_they_are(taken: Taken) -> None:
    from flows.destroy import destroy  # noqa: PLC0415

    due = taken.invoices(DUE, AS_OF.isoformat())
    young = taken.invoices(f"NOT {DUE}", AS_OF.isoformat())
    assert sum(due.values()) > 150
    assert sum(young.values()) > 50
    before = {name: records(taken.custody, name) for name in ("customers", "transactions")}
    plan = plan_destruction(taken.custody, SHELL, Scope(as_of=AS_OF))
    receipt = destroy(show_id(PLAN, plan.id))
    assert receipt.outcomes == {"destroyed": sum(due.values())}
    after = {name: records(taken.custody, name) for name in ("customers", "transactions")}
    assert after["customers"] == before["customers"]
    assert len(after["transactions"]) == sum(young.values())
    assert all(before["transactions"][one] == row for one, row in after["transactions"].items())
    # Per customer, not in sum only; and every customer is there, whatever was bought when.
    assert customers_of(taken.custody, "transactions") == young
    assert len(customers_of(taken.custody, "customers")) == 59
    assert verify_installation(taken.custody, deep=True).records == 59 + sum(young.values())


def test_the_same_database_again_changes_nothing(taken: Taken) -> None:
    before = records(taken.custody, "transactions")
    again = {name: take_in(name) for name in taken.receipts}
    assert {name: one.batch_id for name, one in again.items()} == {
        name: one.batch_id for name, one in taken.receipts.items()
    }
    assert records(taken.custody, "transactions") == before
