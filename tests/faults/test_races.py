"""Other acts on one person at once: stores, withdrawals, events, endings, the same act twice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from fingerprint import fingerprint
from house import TESTER, Site, copied, destroy, take_in
from racing import (
    SAME_QUARTER,
    HeadStart,
    contract,
    contracts_file,
    errors,
    last_seq,
    miscounted,
    race,
    settle,
    settled_contracts,
    transactions_file,
    unsound,
)
from sqlalchemy import Connection
from story import (
    ENQUIRIES,
    File,
    consents,
    customer,
    enquiry,
    require_customer,
    transaction_row,
    write_file,
    write_files,
)

from custody.acts import endings as ending_acts
from custody.acts.consents import withdraw_consent
from custody.acts.context import Custody
from custody.acts.endings import finish_endings
from custody.acts.holds import record_event
from custody.acts.planning import Scope, plan_destruction
from custody.acts.store import finish_store, store_chunk
from custody.database import customers as customer_tables
from custody.database import records
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.database.plans import outcome_counts
from custody.demo.agreements import CARE
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import RefusedError
from custody.seal import SealInvalidError

RACES = 40


@pytest.fixture
def custody(site: Site) -> Iterator[Custody]:
    with site.opened(chunk_rows=500) as custody:
        yield custody


def one_by_one(custody: Custody, file: File) -> tuple[UUID, int]:
    """Ingest a file, a chunk for every row, and return its batch and how many chunks it has."""
    batch = take_in(replace(custody, chunk_rows=1), file.source, file.path)
    return batch.id, batch.chunks


def stored_by(custody: Custody, *batches: UUID) -> None:
    for batch in batches:
        finish_store(custody, TESTER, batch)


def test_a_new_person_in_two_stores_at_once_is_one_customer(
    custody: Custody, tmp_path: Path
) -> None:
    first, _ = one_by_one(
        custody, contracts_file(tmp_path / "1.csv", [contract(i) for i in range(RACES)])
    )
    second, _ = one_by_one(
        custody,
        contracts_file(tmp_path / "2.csv", [contract(i, address="新址") for i in range(RACES)]),
    )
    for chunk in range(RACES):
        stores = [partial(store_chunk, custody, TESTER, b, chunk) for b in (first, second)]
        assert errors(race(chunk, *stores)) == []
    stored_by(custody, first, second)
    assert unsound(custody, RACES) == []
    with transaction(custody.data) as connection:
        versions = [row.version for row in records.records_after(connection, UUID(int=0), 1000)]
    assert versions == [2] * RACES


def races_of_store_and_endings(custody: Custody, folder: Path, count: int) -> list[str]:
    """Race stores against the end of the very key they are about to use."""
    people = settled_contracts(custody, folder, count, SAME_QUARTER)
    days = [transaction_row(i, 7, SAME_QUARTER) for i in range(count)]
    batch, _ = one_by_one(custody, transactions_file(folder / "7.csv", days))
    changed = [transaction_row(i, 0, SAME_QUARTER) | {"product": "车险"} for i in range(count)]
    other, _ = one_by_one(custody, transactions_file(folder / "0.csv", changed))
    wrong = []
    for index, one in enumerate(people):
        store_chunk(custody, TESTER, other, index)  # replaces a record: its key must end
        outcomes = race(
            index,
            partial(finish_endings, custody, TESTER, [one]),
            partial(store_chunk, custody, TESTER, batch, index),
            head_start=0.03,
        )
        wrong += [f"{index}: {error!r}" for error in errors(outcomes)]
    stored_by(custody, batch, other)
    return wrong + miscounted(custody, batch) + unsound(custody, count)


def test_a_store_never_writes_under_a_key_that_ended(custody: Custody, tmp_path: Path) -> None:
    assert races_of_store_and_endings(custody, tmp_path, 2 * RACES) == []


def test_endings_that_raise_no_generation_let_it(
    custody: Custody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending_acts, "_raise_generations", _lock_only)
    try:
        wrong = races_of_store_and_endings(custody, tmp_path, 2 * RACES)
    except SealInvalidError as error:
        wrong = [str(error)]
    assert wrong != []


def _lock_only(connection: Connection, customers: Sequence[UUID]) -> dict[UUID, int]:
    locked = customer_tables.lock_customers(connection, customers)
    return {customer: generation for customer, (generation, _) in locked.items()}


def test_nothing_is_stored_after_its_consent_was_withdrawn(
    custody: Custody, tmp_path: Path
) -> None:
    everybody = range(RACES)
    given = [row for index in everybody for row in consents(index)]
    settle(
        custody,
        write_file(tmp_path / "c.csv", "legacy_consents", given),
        write_file(tmp_path / "p.csv", "legacy_customers", [customer(i) for i in everybody]),
    )
    asked = write_file(tmp_path / "q.csv", ENQUIRIES, [enquiry(i, "2026-11-10") for i in everybody])
    batch, _ = one_by_one(custody, asked)
    withdrawn_first, head_start = 0, HeadStart()
    for index in everybody:
        with transaction(custody.data) as connection:
            head = last_seq(connection)
        withdrawal, store = race(
            index,
            partial(withdraw_consent, custody, TESTER, require_customer(custody, index), CARE),
            partial(store_chunk, custody, TESTER, batch, index),
            head_start=head_start.seconds,
        )
        assert errors([withdrawal, store]) == []
        with transaction(custody.data) as connection:
            events = [entry.event for entry in read_entries(connection, head)]
        early = events.index("consent:subject:withdrawn") < events.index("chunk:store:completed")
        assert (store.value.stored, store.value.refused) == ((0, 1) if early else (1, 0))
        withdrawn_first += early
        head_start.follow(shorter_won=early)
    stored_by(custody, batch)
    assert miscounted(custody, batch) == []
    assert 0 < withdrawn_first < RACES


def test_a_record_stored_during_an_event_gets_its_clock(custody: Custody, tmp_path: Path) -> None:
    people = settled_contracts(custody, tmp_path, RACES)
    again = contracts_file(tmp_path / "2.csv", [contract(i, address="新址") for i in range(RACES)])
    batch, _ = one_by_one(custody, again)
    for index, one in enumerate(people):
        day = date(2026, 6, 30)
        event = partial(record_event, custody, TESTER, one, "relationship_ended", day)
        store = partial(store_chunk, custody, TESTER, batch, index)
        assert errors(race(index, event, store, head_start=0.02)) == []
    stored_by(custody, batch)
    assert unsound(custody, RACES) == []
    with transaction(custody.data) as connection:
        rows = records.records_after(connection, UUID(int=0), 1000)
    assert {(row.ends_on, row.period) for row in rows} == {(date(2031, 6, 30), "2031Q2")}


def test_a_batch_ingested_and_stored_by_two_processes_at_once_is_one(
    postgres: EmbeddedPostgres, site: Site, tmp_path: Path
) -> None:
    files = write_files(tmp_path / "files")

    def play(site: Site) -> None:
        with site.opened() as custody:
            for name in ("consents", "first", "contracts"):
                settle(custody, files[name])

    with copied(postgres, site, tmp_path) as copy:
        play(copy)
        with copy.opened() as custody:
            wanted = fingerprint(custody)
    for seed in range(6):
        with copied(postgres, site, tmp_path) as copy:
            assert errors(race(seed, partial(play, copy), partial(play, copy))) == []
            with copy.opened() as custody:
                state = fingerprint(custody)
        assert [part for part in wanted if wanted[part] != state[part]] == []


def test_a_plan_applied_twice_at_once_destroys_once(custody: Custody, tmp_path: Path) -> None:
    people = settled_contracts(custody, tmp_path, RACES, date(2015, 3, 2), SAME_QUARTER)
    for index in range(0, RACES, 2):
        scope = Scope(as_of=custody.today(), customer_id=people[index])
        plan = plan_destruction(custody, TESTER, scope)
        other = plan_destruction(custody, TESTER, scope)
        applies = [partial(destroy, custody, one) for one in (plan, plan, other)]
        assert errors(race(index, *applies), RefusedError) == []
        with transaction(custody.data) as connection:
            counts = [c for one in (plan, other) for c in outcome_counts(connection, one.id)]
        assert sum(c.rows for c in counts if c.outcome == "destroyed") == 3
    assert unsound(custody, RACES) == []
