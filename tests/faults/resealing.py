"""What tests of re-encryption share: another suite, seals in every place, what was said of it."""

import json
from dataclasses import replace
from pathlib import Path

from house import TESTER, take_in
from racing import SAME_QUARTER, transactions_file
from story import transaction_row

from custody.acts.consents import record_consent
from custody.acts.context import Custody
from custody.acts.coverage import coverage
from custody.acts.store import store_chunk
from custody.database.engine import transaction
from custody.database.ledger import entries_of
from custody.suites import Suite

RENEWED = ("record:seals:renewed", "place:seals:renewed")
_FACTS = {
    "purpose": "customer_care",
    "kind": "purpose",
    "given_at": "2026-03-01T10:00:00+08:00",
    "evidence_ref": "folder 7, page 3",
}


def under(custody: Custody, suite: Suite) -> Custody:
    """Return the installation under a policy that wants another suite."""
    settings = replace(custody.policy.settings, suite=suite)
    return replace(custody, policy=replace(custody.policy, settings=settings))


def fill_every_place(custody: Custody, folder: Path) -> None:
    """Leave seals in every place that is no record's; customers 1 and 2 are there already.

    A document of a consent, a row in quarantine, a chunk that waits, where three batches came from.
    """
    record_consent(custody, TESTER, "legacy", {**_FACTS, "customer_no": "K777"})
    rows = [transaction_row(9_999, 0, SAME_QUARTER), transaction_row(1, 5, SAME_QUARTER)]
    file = transactions_file(folder / "more.csv", rows)
    batch = take_in(custody, file.source, file.path)
    store_chunk(custody, TESTER, batch.id, 0)
    waiting = transactions_file(folder / "w.csv", [transaction_row(2, 6, SAME_QUARTER)])
    take_in(custody, waiting.source, waiting.path)


def seals_under(custody: Custody, suite: Suite) -> int:
    """Return how many seals of all kinds are under a suite; every one has its key."""
    found = coverage(custody)
    assert all(one.has_key for one in found.stray)
    return sum(line.seals for line in found.lines if line.suite == suite.name)


def said_renewed(custody: Custody, suite: Suite) -> int:
    """Return how many seals the ledger says were made anew under a suite."""
    with transaction(custody.data) as connection:
        said = [json.loads(one.body)["facts"] for one in entries_of(connection, RENEWED)]
    return sum(one["seals"] for one in said if one["suite"] == suite.name)
