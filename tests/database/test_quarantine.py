"""What was refused waits in quarantine, gets out when its reason is gone, and is not kept long."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from own_databases import Databases
from people_house import SHELL, House, build_house, close_house
from sqlalchemy import text

from custody.acts.batches import close_batch, open_batch, require_batch, revert_batch
from custody.acts.context import Custody
from custody.acts.opening import open_reader
from custody.acts.overview import overview
from custody.acts.quarantine import (
    expire_quarantine,
    list_quarantine,
    retry_quarantine,
    reveal_quarantine,
)
from custody.acts.store import finish_store, store_chunk
from custody.acts.taking import examine_source, take_chunk
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.errors import QualityGateError, RefusedError, UsageError
from custody.identifiers import time_ordered_id
from custody.keys.wrapping import INTAKE, QUARANTINE
from custody.seal import KeyMissingError

PEOPLE = "客户号,姓名\nK1,王小明\n"
TRADES = """交易号,客户号,交易日期,金额
T1,K1,2026-01-05,10.00
T2,K2,2026-01-06,20.00
T3,K1,昨天,5
"""


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    """Return an installation without staff, with two sources under a contract."""
    made = build_house(databases, tmp_path, staff=())
    policy = made.custody.policy
    people = replace(
        policy.source("legacy_customers"),
        name="people",
        purpose="legacy_contract",
        encoding=None,
    )
    trades = replace(
        policy.source("legacy_transactions"),
        name="trades",
        purpose="legacy_contract",
        encoding=None,
    )
    sources = {**policy.sources, "people": people, "trades": trades}
    made.custody = replace(made.custody, policy=replace(policy, sources=sources))
    yield made
    close_house(made)


def file(house: House, name: str, content: str) -> str:
    path = house.folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def take_in(custody: Custody, source: str, place: str) -> tuple[Batch, ChunkReceipt]:
    """Ingest and store a file, and return its batch and what the close of ingest said."""
    batch = open_batch(custody, SHELL, source, place)
    with open_reader(custody, source, place) as reader:
        for chunk in reader.chunks():
            take_chunk(custody, SHELL, batch, chunk)
    receipt = close_batch(custody, SHELL, batch.id)
    store_all(custody, batch, batch.chunks)
    return batch, receipt


def store_all(custody: Custody, batch: Batch, chunks: int) -> None:
    for number in range(chunks):
        store_chunk(custody, SHELL, batch.id, number)
    finish_store(custody, SHELL, batch.id)


def test_every_refused_row_is_held_with_its_codes(house: House) -> None:
    take_in(house.custody, "people", file(house, "people.csv", PEOPLE))
    batch, _ = take_in(house.custody, "trades", file(house, "trades.csv", TRADES))
    held = {row.row_number: list(row.codes) for row in list_quarantine(house.custody, batch.id)}
    assert held == {2: ["subject_unknown"], 3: ["type_invalid"]}


def test_values_come_out_as_they_were_written_and_only_behind_a_ledger_entry(house: House) -> None:
    take_in(house.custody, "people", file(house, "people.csv", PEOPLE))
    batch, _ = take_in(house.custody, "trades", file(house, "trades.csv", TRADES))
    rows = {row.row_number: row.values for row in reveal_quarantine(house.custody, SHELL, batch.id)}
    assert rows[3]["occurred_on"] == "昨天"
    assert rows[2]["customer_no"] == "K2"
    with transaction(house.custody.data) as connection:
        last = connection.execute(
            text("SELECT event FROM ledger.entries ORDER BY seq DESC LIMIT 1")
        ).scalar_one()
    assert last == "quarantine:rows:revealed"


def test_a_row_whose_subject_became_known_gets_out_by_a_retry(house: House) -> None:
    custody = house.custody
    take_in(custody, "people", file(house, "people.csv", PEOPLE))
    batch, _ = take_in(custody, "trades", file(house, "trades.csv", TRADES))
    take_in(custody, "people", file(house, "more.csv", PEOPLE.replace("K1,王小明", "K2,李四")))
    retried = retry_quarantine(custody, SHELL, batch.id)
    store_all(custody, batch, batch.chunks + 1)
    assert (retried.read, retried.refused) == (3, 1)
    assert [row.row_number for row in list_quarantine(custody, batch.id)] == [3]
    assert overview(custody).datasets == {"customers": 2, "transactions": 2}


def test_a_retry_of_a_source_that_changed_is_refused(house: House) -> None:
    place = file(house, "trades.csv", TRADES)
    batch, _ = take_in(house.custody, "trades", place)
    file(house, "trades.csv", TRADES.replace("昨天", "2026-01-07"))
    with pytest.raises(RefusedError) as refused:
        retry_quarantine(house.custody, SHELL, batch.id)
    assert [reason.code for reason in refused.value.reasons] == ["source_changed"]


def test_held_rows_are_destroyed_after_the_days_of_the_policy_and_not_before(house: House) -> None:
    custody = house.custody
    batch, _ = take_in(custody, "trades", file(house, "trades.csv", TRADES))
    house.clock.advance(days=custody.policy.settings.quarantine_days)
    assert expire_quarantine(custody, SHELL) == 0
    custody.keyring.batches.open(batch.id, QUARANTINE)
    house.clock.advance(days=1)
    assert expire_quarantine(custody, SHELL) == len(TRADES.splitlines()) - 1
    assert list_quarantine(custody) == []
    with pytest.raises(KeyMissingError):
        custody.keyring.batches.open(batch.id, QUARANTINE)
    assert require_batch(custody, batch.id).location is None


def test_a_dry_run_says_the_same_and_writes_nothing(house: House) -> None:
    custody = house.custody
    place = file(house, "trades.csv", TRADES)
    with transaction(custody.data) as connection:
        before = connection.execute(text("SELECT count(*) FROM ledger.entries")).scalar_one()
    _, receipt = examine_source(custody, "trades", place)
    with transaction(custody.data) as connection:
        after = connection.execute(text("SELECT count(*) FROM ledger.entries")).scalar_one()
    assert (receipt.read, receipt.accepted, receipt.refused) == (3, 2, 1)
    assert (after, list_quarantine(custody)) == (before, [])


@pytest.mark.parametrize("rows", ["", "\n , \n,,\n"])
def test_a_source_without_rows_is_no_success(house: House, rows: str) -> None:
    custody = house.custody
    place = file(house, "people.csv", PEOPLE.partition("\n")[0] + "\n" + rows)
    for _ in range(2):
        with pytest.raises(QualityGateError) as failed:
            take_in(custody, "people", place)
        assert [reason.code for reason in failed.value.reasons] == ["source_empty"]
    assert overview(custody).customers == 0


def test_a_batch_nobody_knows_has_no_list_of_refused_rows(house: House) -> None:
    with pytest.raises(UsageError, match="no such batch"):
        list_quarantine(house.custody, time_ordered_id(house.clock()))


def test_a_reverted_batch_leaves_nothing_and_its_content_can_come_again(house: House) -> None:
    custody = house.custody
    place = file(house, "trades.csv", TRADES)
    batch = open_batch(custody, SHELL, "trades", place)
    with open_reader(custody, "trades", place) as reader:
        for chunk in reader.chunks():
            take_chunk(custody, SHELL, batch, chunk)
    close_batch(custody, SHELL, batch.id)
    revert_batch(custody, SHELL, batch.id)
    assert require_batch(custody, batch.id).location is None
    for kind in (INTAKE, QUARANTINE):
        with pytest.raises(KeyMissingError):
            custody.keyring.batches.open(batch.id, kind)
    assert list_quarantine(custody) == []
    assert open_batch(custody, SHELL, "trades", place).id != batch.id


def test_a_stored_batch_is_not_reverted_but_planned_for_destruction(house: House) -> None:
    batch, _ = take_in(house.custody, "people", file(house, "people.csv", PEOPLE))
    with pytest.raises(RefusedError) as refused:
        revert_batch(house.custody, SHELL, batch.id)
    assert [reason.code for reason in refused.value.reasons] == ["batch_stored"]


def test_the_same_file_again_changes_nothing(house: House) -> None:
    custody = house.custody
    place = file(house, "people.csv", PEOPLE)
    first, _ = take_in(custody, "people", place)
    with transaction(custody.data) as connection:
        before = connection.execute(text("SELECT id, version, general FROM records")).all()
    again, _ = take_in(custody, "people", file(house, "copy.csv", PEOPLE))
    with transaction(custody.data) as connection:
        after = connection.execute(text("SELECT id, version, general FROM records")).all()
    assert again.id == first.id
    assert after == before
