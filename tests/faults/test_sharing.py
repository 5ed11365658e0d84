"""Chunks of a batch are shared: each is done once, and what a dead process had others do."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
import sharing_process
from fingerprint import fingerprint
from house import TESTER, Site, copied, founded
from racing import contract, contracts_file
from sqlalchemy import text
from story import File, write_files

from custody.acts import sharing
from custody.acts.batches import close_batch, open_batch, receipts_of, require_batch
from custody.acts.context import Custody
from custody.acts.opening import open_batch_reader
from custody.acts.sharing import share_chunks
from custody.acts.store import finish_store, store_chunks
from custody.acts.taking import take_chunks
from custody.database.batches import Batch, claim_chunk
from custody.database.engine import transaction
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import RefusedError

PEOPLE = 24
HERE = str(Path(__file__).parent)


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
    looks, rest = list[float](), time.sleep
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
            rest(0.1)  # until the server has noticed

        monkeypatch.setattr(sharing.time, "sleep", wait)
        assert take_chunks(custody, TESTER, batch, range(3)) == 3
        assert looks


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


def test_two_processes_make_the_database_that_one_makes(
    _templates: EmbeddedPostgres,  # noqa: PT019 - it is used
    tmp_path: Path,
) -> None:
    """Row for row: plaintext, states, links; random identifiers mapped to what they name."""
    files = write_files(tmp_path / "files")
    with founded(_templates, tmp_path) as site, copied(_templates, site, tmp_path) as other:
        with site.opened() as custody:
            for file in files.values():
                batch = opened_batch(custody, file)
                take_chunks(custody, TESTER, batch, range(batch.chunks))
                _close_and_store(custody, batch, partial(store_all, custody, batch))
            one = fingerprint(custody)
        with other.opened() as custody, two_processes() as pool:
            shared = 0
            for file in files.values():
                batch = opened_batch(custody, file)
                shared += in_both(pool, other, "ingest", batch)
                shared += _close_and_store(
                    custody, batch, partial(in_both, pool, other, "store", batch)
                )
            two = fingerprint(custody)
    assert shared > 2, "batches of which both processes did some"
    for part in one:
        assert two[part] == one[part], part


def two_processes() -> ProcessPoolExecutor:
    """Return two processes that are spawned, never forked."""
    spawning = get_context("spawn")
    return ProcessPoolExecutor(2, spawning, initializer=sys.path.insert, initargs=(0, HERE))


def store_all(custody: Custody, batch: Batch) -> int:
    return store_chunks(custody, TESTER, replace(batch, state="ingested"), range(batch.chunks))


def _close_and_store(custody: Custody, batch: Batch, store: Callable[[], int]) -> int:
    close_batch(custody, TESTER, batch.id)
    if require_batch(custody, batch.id).state == "stored":  # consents are recorded at once
        return 0
    did = store()
    finish_store(custody, TESTER, batch.id)
    return did


def in_both(pool: ProcessPoolExecutor, site: Site, stage: str, batch: Batch) -> int:
    """Do a stage of a batch in two processes; return whether both did some."""
    begun = [pool.submit(sharing_process.work, site, stage, batch.id) for _ in range(2)]
    counts = [one.result(60) for one in begun]
    assert sum(counts) == batch.chunks
    return int(min(counts) > 0)
