"""Re-encryption: all ends under the policy's suite, readers never notice, nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from dying import dying_at
from everything import rows_of, values_of
from house import NOW, TESTER, Site, destroy, plan_all
from racing import (
    SAME_QUARTER,
    errors,
    race,
    settled_contracts,
    unsound,
)
from resealing import fill_every_place, said_renewed, seals_under, under
from sqlalchemy import text

from custody.acts import references
from custody.acts import rekey as rekeying
from custody.acts import rekey_places as places
from custody.acts.context import Custody
from custody.acts.coverage import OTHER, UNSEALED, coverage
from custody.acts.quarantine import expire_quarantine
from custody.acts.rekey import RekeyReceipt, rekey, rekey_chunk, total
from custody.acts.rekey_places import rekey_places
from custody.acts.renewed import Renewed
from custody.acts.sealing import open_records
from custody.acts.store import finish_store, store_chunk
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database import records
from custody.database.batches import list_batches
from custody.database.engine import transaction
from custody.database.sealed import REFERENCE
from custody.database.sealed_places import DOCUMENT, INTAKE, PLACES, QUARANTINE
from custody.errors import UsageError
from custody.identifiers import RECORD, show_id
from custody.record import encode_payload
from custody.steps import observed_by
from custody.suites import AES_256_GCM, AES_256_GCM_SIV, SM4_GCM, SUITES, Suite, SuiteRetiredError

PEOPLE, READERS, PLANTED = 60, 4, 20


@pytest.fixture
def site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(rekeying, "CHUNK_RECORDS", 7)
    return site


@pytest.fixture
def people(site: Site, tmp_path: Path) -> list[UUID]:
    with site.opened(chunk_rows=500) as custody:
        return settled_contracts(custody, tmp_path, PEOPLE, SAME_QUARTER)


def whole(custody: Custody, suite: Suite) -> bool:
    """Whether every seal is under the suite, and each is counted."""
    found = coverage(custody)
    assert found.suite == suite.name
    assert {line.suite for line in found.lines if line.wanted} <= {suite.name}
    assert found.is_whole == (not found.stray)
    return found.is_whole


@contextmanager
def readers_of(custody: Custody, expected: object) -> Iterator[list[str]]:
    """Have four readers read everything again and again during the block; yield what they saw."""
    stop, seen = threading.Event(), list[str]()
    readers = [
        threading.Thread(target=_read, args=(custody, expected, stop, seen)) for _ in range(READERS)
    ]
    for one in readers:
        one.start()
    try:
        yield seen
    finally:
        stop.set()
        for one in readers:
            one.join()


def _read(custody: Custody, expected: object, stop: threading.Event, seen: list[str]) -> None:
    while not stop.is_set():
        try:
            seen.append("the same" if values_of(custody) == expected else "something else")
        except Exception as error:  # noqa: BLE001 - the test judges it
            seen.append(repr(error))


def test_from_suite_to_suite_while_four_readers_read(site: Site, people: list[UUID]) -> None:
    with site.opened() as custody:
        before = values_of(custody)
        with readers_of(custody, before) as seen:
            for suite in (SM4_GCM, AES_256_GCM_SIV, AES_256_GCM):
                there = under(custody, suite)
                assert not whole(there, suite)
                done = total(rekey(there, TESTER, suite))
                assert done.records == len(before) == 2 * len(people)
                assert whole(there, suite)
                assert total(rekey(there, TESTER, suite)).seals == 0, "again finds nothing to do"
        assert set(seen) == {"the same"}
        assert len(seen) > 3 * READERS
        assert values_of(custody) == before
        verify_installation(custody, deep=True)


def test_the_keys_follow_at_the_next_turn_of_all(site: Site, people: list[UUID]) -> None:
    assert people
    with site.opened() as custody:
        suites = {key.wrapped[1] for key in _every_key(custody)}
        assert suites == {AES_256_GCM.number}
        custody.keyring._suite = SM4_GCM
        turn_keys(custody, TESTER, everything=True)
        assert {key.wrapped[1] for key in _every_key(custody)} == {SM4_GCM.number}
        verify_installation(custody, deep=True)
        lines = [line for line in coverage(custody).lines if line.dataset != OTHER]
        assert {line.generation for line in lines} == {2}


def _every_key(custody: Custody) -> list[object]:
    with transaction(custody.keyring.turner.engine) as connection:
        return list(connection.execute(text("SELECT key_id, wrapped FROM data_keys")))


def test_a_suite_the_policy_does_not_want_is_refused(site: Site, people: list[UUID]) -> None:
    assert people
    with site.opened() as custody, pytest.raises(UsageError):
        total(rekey(custody, TESTER, SM4_GCM))


def test_what_is_sealed_under_a_retired_suite_is_listed_and_gone_after(
    site: Site, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.opened() as custody:
        old = under(custody, SM4_GCM)
        rekey_chunk(old, TESTER, UUID(int=0), 20)
        retired = replace(SM4_GCM, retired=True)
        monkeypatch.setitem(SUITES, retired.number, retired)
        with pytest.raises(SuiteRetiredError):
            total(rekey(under(custody, retired), TESTER, retired))
        listed = coverage(custody).stray
        assert {one.suite for one in listed} == {SM4_GCM.name}
        assert len({one.reference for one in listed if one.dataset != OTHER}) == 20
        assert total(rekey(custody, TESTER, AES_256_GCM)).records == 20
        assert whole(custody, AES_256_GCM)
        assert len(values_of(custody)) == 2 * len(people)


def shown(records_planted: set[UUID]) -> set[str]:
    return {show_id(RECORD, one) for one in records_planted}


def plant(custody: Custody, count: int) -> set[UUID]:
    """Put compartments back in clear, as an upgrade that went wrong would have left them."""
    with transaction(custody.data) as connection:
        rows = records.records_after(connection, UUID(int=0), count)
        for opened in open_records(custody, rows):
            clear = encode_payload(next(iter(opened.payloads.values())))
            connection.execute(
                text("UPDATE records SET general = :clear WHERE id = :id"),
                {"clear": clear, "id": opened.row.id},
            )
    return {row.id for row in rows}


def test_records_in_clear_are_listed_and_sealed_only_when_asked_for(
    site: Site, people: list[UUID]
) -> None:
    assert people
    with site.opened() as custody:
        before = values_of(custody)
        planted = plant(custody, PLANTED)
        found = coverage(custody)
        assert {one.reference for one in found.stray} == shown(planted)
        assert {line.suite for line in found.lines if not line.wanted} == {UNSEALED}
        assert found.seals - found.wanted == PLANTED
        assert total(rekey(custody, TESTER, AES_256_GCM)).seals == 0
        assert {one.reference for one in coverage(custody).stray} == shown(planted)
        done = total(rekey(custody, TESTER, AES_256_GCM, in_clear=True))
        assert (done.records, done.unsealed) == (PLANTED, PLANTED)
        assert whole(custody, AES_256_GCM)
        assert values_of(custody) == before


def test_what_is_neither_a_seal_nor_a_payload_is_left_and_counted(
    site: Site, people: list[UUID]
) -> None:
    assert people
    with site.opened() as custody:
        with transaction(custody.data) as connection:
            (row,) = records.records_after(connection, UUID(int=0), 1)
            statement = text("UPDATE records SET general = :junk WHERE id = :id")
            connection.execute(statement, {"junk": b"\xff" * 9, "id": row.id})
        done = total(rekey(custody, TESTER, AES_256_GCM, in_clear=True))
        assert (done.records, done.unreadable) == (0, 1)


POINTS = (
    ("record:seals:renewed:before-commit", 1),
    ("rekey:chunk-sealed", 1),
    *(("rekey:page-read", page) for page in range(1, len(PLACES) + 1)),
    # Of each place one page, and then the first of references.
    *(("place:seals:renewed:before-commit", page) for page in range(1, len(PLACES) + 2)),
    ("references:page-done", 1),
    ("references:page-done", 2),
)
"""Where a run ends: a step, and at which of its passings."""


@pytest.fixture
def few(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return an installation with a few customers and seals in every place, of several pages."""
    monkeypatch.setattr(references, "PAGE", 3)
    with site.opened() as custody:
        settled_contracts(custody, tmp_path, 10, SAME_QUARTER)
        fill_every_place(custody, tmp_path)
    return site


def killed(site: Site, step: str, passing: int) -> bool:
    """Have everything sealed again under SM4 until a step is passed so often."""
    with site.opened() as opened, dying_at(step, passing) as death:
        everything_under(under(opened, SM4_GCM), SM4_GCM)
    return death.came


def amiss(site: Site, before: object) -> list[str]:
    """Return what is not as it must be whenever a run has ended: lost values, a wrong ledger."""
    with site.opened() as opened:
        custody = under(opened, SM4_GCM)
        verify_installation(custody, deep=True)
        facts = {
            "values": values_of(custody) == before,
            "ledger": said_renewed(custody, SM4_GCM) == seals_under(custody, SM4_GCM),
        }
    return [name for name, is_so in facts.items() if not is_so]


@pytest.mark.parametrize(("step", "passing"), POINTS)
def test_killed_twice_and_run_again_it_comes_to_the_same(
    few: Site, step: str, passing: int
) -> None:
    """The second time at the first page of that step that was left."""
    with few.opened() as custody:
        before, there = values_of(custody), coverage(custody).seals
    for one in (passing, 1):
        assert killed(few, step, one)
        assert amiss(few, before) == []
    with few.opened() as opened:
        custody = under(opened, SM4_GCM)
        assert not whole(custody, SM4_GCM), "something was left to do"
        everything_under(custody, SM4_GCM)
        assert whole(custody, SM4_GCM)
        assert seals_under(custody, SM4_GCM) == there
    assert amiss(few, before) == []


def test_the_ledger_in_a_transaction_of_its_own_does_not_say_what_was_done(
    few: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive twin: the seals are committed first; it comes to the same unless it is killed."""
    with few.opened() as custody:
        before = values_of(custody)
    write, seal_chunk, waiting = rekeying._record, rekeying.rekey_chunk, list[tuple[object, ...]]()

    def seals_first(custody: Custody, *what: object, **how: bool) -> object:
        receipt = seal_chunk(custody, *what, **how)  # type: ignore[arg-type]
        while waiting:
            with transaction(custody.data) as connection:
                write(connection, *waiting.pop())  # type: ignore[arg-type]
        return receipt

    monkeypatch.setattr(rekeying, "_record", lambda _, *said: waiting.append(said))
    monkeypatch.setattr(rekeying, "rekey_chunk", seals_first)
    with few.opened() as opened:
        assert rekeying.rekey_chunk(under(opened, SM4_GCM), TESTER, UUID(int=0), 1) is not None
    assert amiss(few, before) == [], "the control: nobody killed it"
    assert killed(few, "rekey:chunk-sealed", 1)
    assert amiss(few, before) == ["ledger"]


def test_one_that_forgets_what_it_was_to_seal_leaves_it(
    few: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive twin: what is to be sealed is noted in the beginning, and struck off when read."""
    noted: dict[str, list[object]] = {}
    stray_in = places.stray_in

    def from_the_list(connection: object, place: str, *what: object, **how: object) -> list[object]:
        if place not in noted:
            noted[place] = list(stray_in(connection, place, *what, **how))  # type: ignore[arg-type]
        return [noted[place].pop()] if noted[place] else []

    with few.opened() as custody:
        before = values_of(custody)
    monkeypatch.setattr(places, "stray_in", from_the_list)
    assert killed(few, "place:seals:renewed:before-commit", 1)
    assert amiss(few, before) == []
    with few.opened() as opened:
        custody = under(opened, SM4_GCM)
        everything_under(custody, SM4_GCM)
        assert not whole(custody, SM4_GCM)
        assert {one.place for one in coverage(custody).stray} == {DOCUMENT}


def erase(custody: Custody, customer: UUID) -> None:
    destroy(custody, plan_all(custody, customer))


def everything_under(custody: Custody, suite: Suite) -> RekeyReceipt:
    return total(rekey(custody, TESTER, suite))


def test_erasures_turns_and_rekeying_do_not_disturb_each_other(
    site: Site, people: list[UUID]
) -> None:
    """In each round everything goes from one suite to the other, and every bucket turns."""
    with site.opened() as opened:
        wrong = list[str]()
        for index, customer in enumerate(people[:30]):
            suite = (SM4_GCM, AES_256_GCM)[index % 2]
            custody = under(opened, suite)
            erasing, rekeying_, turning = race(
                index,
                partial(erase, custody, customer),
                partial(everything_under, custody, suite),
                partial(turn_keys, custody, TESTER, everything=True),
            )
            wrong += [f"{index}: {error!r}" for error in errors([erasing, rekeying_, turning])]
            assert rekeying_.value.seals >= 2 * (PEOPLE - index - 1)
            assert turning.value.keys > 0
            assert whole(custody, suite)
        assert wrong == []
        assert unsound(custody, PEOPLE) == []
        assert len(values_of(custody)) == 2 * (PEOPLE - 30)


@pytest.fixture
def elsewhere(site: Site, people: list[UUID], tmp_path: Path) -> Iterator[Custody]:
    """Return an installation to re-encrypt, with seals in every place that is no record's."""
    assert people
    with site.opened() as opened:
        fill_every_place(opened, tmp_path)
        yield under(opened, SM4_GCM)


@contextmanager
def once_at(step: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something the first time that a step is reached in the block."""
    to_come = [act]

    def overtake(reached: str) -> None:
        if reached == step and to_come:
            to_come.pop()()

    with observed_by(overtake):
        yield
    assert not to_come, f"{step} was not reached"


def test_a_seal_is_counted_by_whoever_renewed_it(elsewhere: Custody) -> None:
    """One run reads a page, another renews it all, then the first comes to put its own."""
    there = sum(one.place in PLACES for one in coverage(elsewhere).stray)
    assert there >= len(PLACES)
    others = list[Renewed]()
    with once_at("rekey:page-read", lambda: others.extend(rekey_places(elsewhere, TESTER))):
        assert sum(one.seals for one in rekey_places(elsewhere, TESTER)) == 0
    assert sum(one.seals for one in others) == there


def test_pages_of_one_come_to_the_same(elsewhere: Custody, monkeypatch: pytest.MonkeyPatch) -> None:
    there = sum(one.place in PLACES for one in coverage(elsewhere).stray)
    monkeypatch.setattr(places, "_PAGE", dict.fromkeys(PLACES, 1))
    assert [one.seals for one in rekey_places(elsewhere, TESTER)] == [1] * there
    assert not [one for one in coverage(elsewhere).stray if one.place in PLACES]


def test_what_goes_with_its_key_while_it_is_sealed_again_is_no_fault(elsewhere: Custody) -> None:
    """A batch is stored to its end between the page and its keys; held rows expire likewise."""
    with transaction(elsewhere.data) as connection:
        batches = [one.id for one in list_batches(connection) if one.state == "ingested"]
    assert batches

    def leave() -> None:
        for one in batches:
            store_chunk(elsewhere, TESTER, one, 0)
            finish_store(elsewhere, TESTER, one)
        later = replace(elsewhere, clock=lambda: NOW + timedelta(days=40))
        assert expire_quarantine(later, TESTER) > 0

    for place in (INTAKE, QUARANTINE):
        assert place in {one.place for one in coverage(elsewhere).stray}
    with once_at("rekey:page-read", leave):
        total(rekey(elsewhere, TESTER, SM4_GCM))
    assert whole(elsewhere, SM4_GCM)


def test_a_seal_whose_key_is_gone_is_counted_amiss_and_listed(elsewhere: Custody) -> None:
    custody = elsewhere
    total(rekey(custody, TESTER, SM4_GCM))
    with transaction(custody.data) as connection:
        (row,) = records.records_after(connection, UUID(int=0), 1)
    with transaction(custody.keyring.turner.engine) as connection:
        connection.execute(text("DELETE FROM data_keys WHERE key_id = :id"), {"id": row.key_id})
        connection.execute(text("DELETE FROM batch_keys WHERE kind = 'intake'"))
    rows = [one for one in rows_of(custody) if one.key_id == row.key_id]
    lost = sum(len(list(one.compartments())) for one in rows)
    found = coverage(custody)
    listed = [one.place for one in found.stray if not one.has_key]
    assert lost > 0
    assert len(listed) == len(found.stray) == found.seals - found.wanted == lost + 1
    assert listed[-1] == INTAKE
    done = total(rekey(under(custody, AES_256_GCM), TESTER, AES_256_GCM))
    assert done.unreadable == len(rows) + 1
    assert done.seals == found.wanted


def test_what_is_no_record_follows_too(elsewhere: Custody) -> None:
    """Documents, intake that waits, refused rows, where batches came from, and references."""
    custody = elsewhere
    levels = {line.level for line in coverage(custody).lines if line.dataset == OTHER}
    assert levels == {*PLACES, REFERENCE}
    assert {one.place for one in coverage(custody).stray} >= levels
    total(rekey(custody, TESTER, SM4_GCM))
    assert whole(custody, SM4_GCM)
    verify_installation(custody, deep=True)
