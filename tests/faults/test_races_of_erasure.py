"""300 races store × erase, 300 hold × purge: nobody resurrected, nothing held erased (T15, T32)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from house import TESTER, Site, take_in
from racing import (
    SAME_QUARTER,
    HeadStart,
    claimed_plan,
    contract,
    contracts_file,
    errors,
    last_seq,
    miscounted,
    purge_by_customer,
    race,
    settle,
    settled_contracts,
    transactions_file,
    unsound,
)
from story import customer_of, transaction_row

from custody.acts import destroy as destroy_acts
from custody.acts import store as store_acts
from custody.acts.context import Custody
from custody.acts.destroy import erase_chunk
from custody.acts.holds import add_hold
from custody.acts.store import finish_store, store_chunk
from custody.database import records
from custody.database.due import DueRecord
from custody.database.engine import transaction
from custody.database.holds import holds_on
from custody.database.ledger import read_entries
from custody.database.plans import planned_records
from custody.errors import RefusedError
from custody.seal import SealInvalidError

RACES, TWIN_RACES = 300, 60
DUE = date(2015, 3, 2)


@pytest.fixture
def custody(site: Site) -> Iterator[Custody]:
    with site.opened(chunk_rows=500) as custody:
        yield custody


def races_of_store_and_erase(custody: Custody, folder: Path, count: int) -> list[str]:
    """Race so many stores against erasures of the same customer and return what went wrong.

    By turns the store replaces the customer's record, brings one under the key that is being
    destroyed, or brings one under another key.
    """
    people = settled_contracts(custody, folder, count, SAME_QUARTER)
    chunks = _ingested_one_by_one(custody, folder, count)
    plans = [claimed_plan(custody, customer) for customer in people]
    wrong = []
    for index, (batch_id, chunk) in enumerate(chunks):
        outcomes = race(
            index,
            partial(store_chunk, custody, TESTER, batch_id, chunk),
            partial(erase_chunk, custody, TESTER, plans[index].id, 0),
        )
        wrong += [f"{index}: {error!r}" for error in errors(outcomes)]
    for batch_id in {batch for batch, _ in chunks}:
        finish_store(custody, TESTER, batch_id)
        wrong += miscounted(custody, batch_id)
    strangers = [
        i for i, known in enumerate(people) if customer_of(custody, i) not in (known, None)
    ]
    return wrong + [f"{i} resurrected" for i in strangers] + unsound(custody, count)


def _ingested_one_by_one(custody: Custody, folder: Path, count: int) -> list[tuple[UUID, int]]:
    """Ingest one more row per customer, a chunk each, and return batch and chunk by customer."""
    everybody = range(count)
    files = (
        contracts_file(folder / "0.csv", [contract(i, address="新址") for i in everybody[::3]]),
        transactions_file(
            folder / "1.csv", [transaction_row(i, 7, SAME_QUARTER) for i in everybody[1::3]]
        ),
        transactions_file(
            folder / "2.csv", [transaction_row(i, 7, date(2024, 5, 6)) for i in everybody[2::3]]
        ),
    )
    one_by_one = replace(custody, chunk_rows=1)
    batches = [take_in(one_by_one, file.source, file.path).id for file in files]
    return [(batches[index % 3], index // 3) for index in everybody]


def races_of_hold_and_purge(
    custody: Custody, folder: Path, count: int, patch: pytest.MonkeyPatch
) -> tuple[list[str], int]:
    """Race holds against purges of the same customer; return what went wrong, and how many held.

    Of one half a record is due by retention, of the other half everything is to go. By turns the
    hold is on the customer or on one record.
    """
    people = settled_contracts(custody, folder, count)
    rows = [transaction_row(index, 0, DUE) for index in range(count // 2)]
    settle(custody, transactions_file(folder / "due.csv", rows))
    purge, chunks = purge_by_customer(custody, patch)
    purges = [(purge.id, chunks[one]) for one in people[: count // 2]]
    purges += [(claimed_plan(custody, one).id, 0) for one in people[count // 2 :]]
    wrong, held, head_start = [], 0, HeadStart()
    for index, (customer, (plan_id, chunk)) in enumerate(zip(people, purges, strict=True)):
        with transaction(custody.data) as connection:
            (due,) = planned_records(connection, plan_id, [customer])
            head = last_seq(connection)
        hold, erasure = race(
            index,
            partial(
                add_hold, custody, TESTER, customer, "dispute", due.record_id if index % 2 else None
            ),
            partial(erase_chunk, custody, TESTER, plan_id, chunk),
            head_start=head_start.seconds,
        )
        head_start.follow(shorter_won=hold.error is None)
        wrong += [f"{index}: {e!r}" for e in (*errors([hold], RefusedError), *errors([erasure]))]
        if hold.error is None:
            held += 1
            wrong += _lost(custody, plan_id, due, head)
    return wrong + unsound(custody, count), held


def _lost(custody: Custody, plan_id: UUID, due: DueRecord, head: int) -> list[str]:
    """Return what is wrong about a hold that succeeded: its record may only have gone before it."""
    with transaction(custody.data) as connection:
        (now,) = planned_records(connection, plan_id, [due.customer_id])
        there = bool(records.records_by_id(connection, [due.record_id]))
        hold = holds_on(connection, [due.customer_id])[0]
        events = [entry.event for entry in read_entries(connection, head)]
    if there:
        return [] if now.outcome == "held" else [f"{due.record_id} is {now.outcome} and there"]
    early = events.index("record:data:deleted") < events.index("customer:hold:set")
    return [] if early and hold.record_id is None else [f"{due.record_id} was held and is gone"]


def test_a_store_never_brings_an_erased_customer_back(custody: Custody, tmp_path: Path) -> None:
    assert races_of_store_and_erase(custody, tmp_path, RACES) == []


def test_a_store_that_does_not_look_again_does(
    custody: Custody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_acts, "require_still_true", lambda *_: None)
    try:
        wrong = races_of_store_and_erase(custody, tmp_path, TWIN_RACES)
    except SealInvalidError as error:
        wrong = [str(error)]
    assert wrong != []


def test_a_purge_never_erases_what_a_hold_keeps(
    custody: Custody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, held = races_of_hold_and_purge(custody, tmp_path, RACES, monkeypatch)
    assert wrong == []
    assert RACES // 10 < held < RACES * 9 // 10, "neither side always wins, or nothing is raced"


def test_a_purge_that_trusts_its_plan_does(
    custody: Custody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy_acts, "holds_on", lambda *_: [])
    wrong, _ = races_of_hold_and_purge(custody, tmp_path, TWIN_RACES, monkeypatch)
    assert wrong != []
