"""Store relies on what ingest said of consents as long as they are the same, and not longer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import NOW, TESTER, Site, destroy, plan_all, put_away, take_in
from sqlalchemy import text
from story import (
    CARE,
    CONSENTS,
    CUSTOMERS,
    SERVICE,
    TRANSACTIONS,
    consents,
    customer,
    customer_of,
    require_customer,
    transaction_row,
    write_file,
)

from custody.acts import drafting
from custody.acts.batches import receipts_of
from custody.acts.consents import withdraw_consent
from custody.acts.context import Custody
from custody.database.batches import Batch
from custody.database.engine import transaction
from custody.demo.rows import Row

SOME = range(4)
LATER = "2026-11-24T00:00:00+08:00"


def given(custody: Custody, folder: Path, rows: Sequence[Row]) -> None:
    """Record consents."""
    name = f"c{len(list(folder.iterdir()))}.csv"
    batch = take_in(custody, CONSENTS, write_file(folder / name, CONSENTS, rows).path)
    assert all(one.refused == 0 for one in receipts_of(custody, batch.id))


def ingested(custody: Custody, folder: Path) -> Batch:
    """Have everybody consent, and take in their records."""
    given(custody, folder, [row for index in SOME for row in consents(index)])
    rows = [customer(index) for index in SOME]
    return take_in(custody, CUSTOMERS, write_file(folder / "p.csv", CUSTOMERS, rows).path)


def outcome(custody: Custody, batch: Batch) -> tuple[int, int, dict[str, int]]:
    """Store the batch and return how many rows were stored, how many refused, and why."""
    put_away(custody, batch)
    (receipt,) = receipts_of(custody, batch.id)
    return receipt.stored, receipt.refused, dict(receipt.reasons)


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows each time a store reads the consents themselves."""
    asked: list[int] = []
    really = drafting.consents.read_consents

    def read(connection: Any, customers: Any) -> Any:
        asked.append(1)
        return really(connection, customers)

    monkeypatch.setattr(drafting.consents, "read_consents", read)
    return asked


def test_consents_that_are_the_same_are_not_judged_again(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        assert outcome(custody, batch) == (4, 0, {})
    assert judgements == []


def test_one_that_was_withdrawn_meanwhile_is(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        withdraw_consent(custody, TESTER, require_customer(custody, 1), SERVICE)
        stored, refused, reasons = outcome(custody, batch)
    assert (stored, refused, judgements) == (3, 1, [1])
    assert "consent_withdrawn" in reasons


def test_one_that_came_meanwhile_is_looked_at(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    """A later record of the same consent may carry the withdrawal of the earlier one."""
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        again = consents(2)[0] | {"withdrawn_at": "2026-11-22T00:00:00+08:00", "evidence_ref": "x"}
        given(custody, tmp_path, [again])
        stored, refused, _ = outcome(custody, batch)
    assert (stored, refused, judgements) == (3, 1, [1])


def test_one_that_ends_at_an_instant_to_come_is_judged_when_that_has_come(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    with site.opened() as custody:
        given(custody, tmp_path, [consents(3)[0] | {"withdrawn_at": LATER, "evidence_ref": "y"}])
        batch = ingested(custody, tmp_path)
        (receipt,) = receipts_of(custody, batch.id)
        assert (receipt.accepted, receipt.basis) == (4, None)
    with site.opened(lambda: NOW + timedelta(days=1)) as custody:
        stored, refused, _ = outcome(custody, batch)
    assert (stored, refused, judgements) == (3, 1, [1])


def test_under_another_policy_they_are_judged_again(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        policy = replace(custody.policy, notices={}, digest="another")
        stored, refused, reasons = outcome(replace(custody, policy=policy), batch)
    assert (stored, refused, judgements) == (0, 4, [1])
    assert "notice_unknown" in reasons


def test_whoever_was_erased_meanwhile_is_not_let_in_on_what_was_judged(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        contract = [transaction_row(0, 0, date(2024, 3, 2))]
        path = write_file(tmp_path / "t.csv", TRANSACTIONS, contract).path
        put_away(custody, take_in(custody, TRANSACTIONS, path))
        gone = require_customer(custody, 0)
        for purpose in (SERVICE, CARE):
            withdraw_consent(custody, TESTER, gone, purpose)
        assert destroy(custody, plan_all(custody, gone)) is not None
        assert customer_of(custody, 0) is None
        stored, refused, reasons = outcome(custody, batch)
        with transaction(custody.data) as connection:
            active = connection.execute(
                text("SELECT count(*) FROM customers WHERE state = 'active'")
            ).scalar_one()
    assert (stored, refused, active) == (3, 1, 3)
    assert reasons.keys() >= {"consent_missing"}
    assert judgements


def test_a_mark_tells_any_change(site: Site, tmp_path: Path) -> None:
    def mark() -> object:
        with transaction(custody.data) as connection:
            return drafting.consents.mark_of_consents(connection, everybody)

    with site.opened() as custody:
        ingested(custody, tmp_path)
        everybody = [require_customer(custody, index) for index in SOME]
        seen = [mark()]
        with transaction(custody.data) as connection:
            read = drafting.consents.read_consents(connection, everybody)
        assert read.mark_of(everybody) == seen[0]
        for change in (
            "UPDATE consents SET withdrawn_at = now() WHERE kind = 'sensitive'",
            "UPDATE consents SET withdrawn_at = NULL",
        ):
            with transaction(custody.data) as connection:
                connection.execute(text(change))
            seen.append(mark())
        assert len(set(seen)) == 3
        assert mark() == seen[-1]


def test_where_rows_left_a_chunk_they_are_judged_again(
    site: Site, tmp_path: Path, judgements: list[int]
) -> None:
    """What was said of the chunk speaks of a row that a repeat in another chunk took out."""
    with site.opened(chunk_rows=2) as custody:
        given(custody, tmp_path, [row for index in SOME for row in consents(index)])
        rows = [customer(index) for index in (0, 1, 2, 0)]
        file = write_file(tmp_path / "p.csv", CUSTOMERS, rows)
        batch = take_in(custody, CUSTOMERS, file.path)
        first, second = receipts_of(custody, batch.id)
        assert first.basis is not None
        assert (second.accepted, second.unchanged, second.basis) == (1, 1, None)
        put_away(custody, batch)
        assert sum(one.stored for one in receipts_of(custody, batch.id)) == 3
    assert judgements == [1]
