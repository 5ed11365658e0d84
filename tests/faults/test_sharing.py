"""Chunks of a batch are shared: each is done once, and what a dead process had others do."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from house import TESTER, Site
from racing import contract, contracts_file
from sqlalchemy import text
from story import File

from custody.acts import sharing
from custody.acts.batches import close_batch, open_batch, receipts_of
from custody.acts.context import Custody
from custody.acts.opening import open_batch_reader
from custody.acts.sharing import share_chunks
from custody.acts.store import finish_store, store_chunks
from custody.acts.taking import take_chunks
from custody.database.batches import Batch, claim_chunk
from custody.database.engine import transaction
from custody.errors import RefusedError

PEOPLE = 24


@pytest.fixture
def file(tmp_path: Path) -> File:
    return contracts_file(tmp_path / "c.csv", [contract(index) for index in range(PEOPLE)])


def opened_batch(custody: Custody, file: File) -> Batch:
    return open_batch(custody, TESTER, file.source, str(file.path))


def together(*sides: object) -> list[int]:
    """Run functions in threads of their own and return what each returned."""
    found: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda place=place, side=side: found.update({place: side()}))  # type: ignore[operator]
        for place, side in enumerate(sides)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
        assert not one.is_alive()
    return [found[place] for place in range(len(sides))]


def test_two_do_each_chunk_once_and_both_stay_until_all_are_done(site: Site, file: File) -> None:
    with site.opened(chunk_rows=2) as custody:
        batch = opened_batch(custody, file)
        numbers = range(batch.chunks)
        take = partial(take_chunks, custody, TESTER, batch, numbers)
        counts = together(take, take)
        assert sum(counts) == batch.chunks
        assert min(counts) > 0
        close_batch(custody, TESTER, batch.id)
        batch = replace(batch, state="ingested")
        store = partial(store_chunks, custody, TESTER, batch, numbers)
        counts = together(store, store)
        assert sum(counts) == batch.chunks
        assert min(counts) > 0
        finish_store(custody, TESTER, batch.id)
        assert sum(one.stored for one in receipts_of(custody, batch.id)) == PEOPLE
        with transaction(custody.data) as connection:
            events = connection.execute(
                text("SELECT count(*) FROM ledger.entries WHERE event LIKE 'chunk:%'")
            ).scalar_one()
        assert events == 2 * batch.chunks, "one entry a chunk and stage"


def test_what_somebody_has_is_left_to_them_and_taken_over_when_they_die(
    site: Site, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    with site.opened(chunk_rows=8) as custody:
        batch = opened_batch(custody, file)
        other = custody.data.connect()
        other.begin()
        assert claim_chunk(other, batch.id, 1, "ingest")

        def wait(seconds: float) -> None:
            looks.append(seconds)
            states = {one.chunk for one in receipts_of(custody, batch.id)}
            assert states == {0, 2}
            other.invalidate()  # as when its process dies

        monkeypatch.setattr(sharing.time, "sleep", wait)
        assert take_chunks(custody, TESTER, batch, range(3)) == 3
        assert len(looks) == 1


def test_an_error_lets_go_of_the_chunk(site: Site, file: File) -> None:
    with site.opened(chunk_rows=8) as custody:
        batch = opened_batch(custody, file)

        def fail(number: int) -> None:
            raise LookupError(number)

        with pytest.raises(LookupError):
            share_chunks(custody, batch, "ingest", range(3), fail)
        assert take_chunks(custody, TESTER, batch, range(3)) == 3
        assert take_chunks(custody, TESTER, batch, range(3)) == 0


def test_a_batch_is_cut_as_when_it_was_opened_whatever_the_settings_say_now(
    site: Site, file: File
) -> None:
    """The naive twin: chunks of another size would lose rows, and bring others twice."""
    with site.opened(chunk_rows=5) as custody:
        batch = opened_batch(custody, file)
        take_chunks(custody, TESTER, batch, [0])
        other = replace(custody, chunk_rows=9)
        assert opened_batch(other, file).id == batch.id
        take_chunks(other, TESTER, batch, range(batch.chunks))
        assert close_batch(other, TESTER, batch.id).accepted == PEOPLE
        careless = rows_of(other, replace(batch, layout=None), [0])
        assert careless != rows_of(other, batch, [0])


def rows_of(custody: Custody, batch: Batch, numbers: Sequence[int]) -> list[int]:
    with open_batch_reader(custody, batch) as reader:
        return [row.number for one in numbers for c in reader.chunks(one, one) for row in c.rows]


def test_a_file_that_was_only_touched_is_read_and_one_that_says_else_is_refused(
    site: Site, file: File
) -> None:
    with site.opened(chunk_rows=8) as custody:
        batch = opened_batch(custody, file)
        take_chunks(custody, TESTER, batch, [0])
        file.path.write_bytes(file.path.read_bytes())  # the same again, at another time
        take_chunks(custody, TESTER, batch, [1])
        with file.path.open("ab") as more:
            more.write(b"\n")
        with pytest.raises(RefusedError) as refused:
            take_chunks(custody, TESTER, batch, [2])
        assert [one.code for one in refused.value.reasons] == ["source_changed"]
        assert {one.chunk for one in receipts_of(custody, batch.id)} == {0, 1}


def test_a_known_layout_saves_reading_the_file_through(
    site: Site, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custody.sources import csv_reader  # noqa: PLC0415 - only this test looks inside

    with site.opened(chunk_rows=8) as custody:
        batch = opened_batch(custody, file)
        whole = rows_of(custody, batch, range(3))

        def never(*_: object) -> None:
            raise AssertionError("the file is read through again")

        monkeypatch.setattr(csv_reader, "find_encodings", never)
        monkeypatch.setattr(csv_reader, "_find_layout", never)
        assert rows_of(custody, batch, range(3)) == whole == list(range(1, PEOPLE + 1))
