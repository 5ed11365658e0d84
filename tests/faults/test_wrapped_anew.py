"""After an algorithm upgrade: every wrapped key follows, and one bad seal stops nothing."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import house
import pytest
from everything import rows_of, values_of
from house import NOW, TESTER, Site, take_in
from racing import SAME_QUARTER, settled_contracts, transactions_file
from resealing import fill_every_place
from sqlalchemy import text
from story import transaction_row

from custody.acts import store as store_acts
from custody.acts.context import Custody
from custody.acts.coverage import coverage
from custody.acts.keeping import key_standing
from custody.acts.quarantine import expire_quarantine, list_quarantine, reveal_quarantine
from custody.acts.rekey import rekey, total
from custody.acts.store import finish_store, store_chunk
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database import batches
from custody.database.engine import transaction
from custody.database.sealed import REFERENCE
from custody.database.sealed_places import DOCUMENT, LOCATION, QUARANTINE
from custody.suites import AES_256_GCM, SM4_GCM, Suite

PEOPLE = 20


@pytest.fixture
def people(site: Site, tmp_path: Path) -> list[UUID]:
    with site.opened(chunk_rows=500) as custody:
        return settled_contracts(custody, tmp_path, PEOPLE, SAME_QUARTER)


def want(suite: Suite, patch: pytest.MonkeyPatch) -> None:
    """Have the policy want another suite from now on."""
    policy = house.example_policy()
    there = replace(policy, settings=replace(policy.settings, suite=suite))
    patch.setattr(house, "example_policy", lambda: there)


def wrapped(custody: Custody) -> dict[str, set[str]]:
    """Return under which suites keys of each kind are wrapped."""
    found = dict[str, set[str]]()
    for one in key_standing(custody).wrapped:
        assert one.keys > 0
        found.setdefault(one.kind, set()).add(one.suite)
    return found


def test_every_wrapped_key_follows_at_the_next_turn_of_all(
    site: Site, people: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert people
    with site.opened() as custody:
        fill_every_place(custody, tmp_path)
        before = values_of(custody)
        kinds = {"batch", "consent", "data", "keystore"}
        assert wrapped(custody) == {kind: {AES_256_GCM.name} for kind in kinds}
        standing = key_standing(custody).wrapped
        others = sum(one.keys for one in standing if one.kind in ("batch", "consent"))
    want(SM4_GCM, monkeypatch)
    with site.opened() as custody:
        receipt = turn_keys(custody, TESTER, everything=True)
        assert receipt is not None
        assert receipt.others == others
        assert wrapped(custody) == {kind: {SM4_GCM.name} for kind in kinds}
        assert values_of(custody) == before
        verify_installation(custody, deep=True)
        again = turn_keys(custody, TESTER, everything=True)
        assert again is not None
        assert again.others == 0


def test_a_seal_that_does_not_open_keeps_nothing_else_from_being_sealed_again(
    site: Site, people: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.opened() as custody:
        fill_every_place(custody, tmp_path)
    with site.opened() as custody, transaction(custody.data) as connection:
        for table, column, key in (
            ("records", "general", "id"),
            ("consents", "document", "id"),
            ("identity_tags", "sealed", "tag"),
        ):
            last = f"length({column}) - 1"
            statement = (
                f"UPDATE {table} SET {column} ="
                f" set_byte({column}, {last}, get_byte({column}, {last}) # 1) WHERE {key} ="
                f" (SELECT {key} FROM {table} WHERE {column} IS NOT NULL LIMIT 1)"
            )
            assert connection.execute(text(statement)).rowcount == 1
    want(SM4_GCM, monkeypatch)
    with site.opened() as custody:
        before, records = coverage(custody), len(rows_of(custody))
        assert records > len(people)
        done = total(rekey(custody, TESTER, SM4_GCM))
        after = coverage(custody)
        assert done.unreadable == 3
        assert done.records == records - 1
        assert done.seals == before.seals - (after.seals - after.wanted)
        assert {REFERENCE, DOCUMENT, "general"} <= {one.place for one in after.stray}
        assert len(after.stray) == after.seals - after.wanted
        again = total(rekey(custody, TESTER, SM4_GCM))
        assert (again.seals, again.unreadable) == (0, 3), "it ends, and says so again"


def test_a_damaged_key_keeps_nothing_else_from_being_sealed_again(
    site: Site, people: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert people
    with site.opened() as custody:
        fill_every_place(custody, tmp_path)
        victim = min(rows_of(custody), key=lambda row: row.id)
        lost = sum(row.key_id == victim.key_id for row in rows_of(custody))
        with transaction(custody.keyring.turner.engine) as connection:
            for table, which in (
                ("data_keys", f"key_id = '{victim.key_id}'"),
                ("consent_keys", "true"),
                ("batch_keys", "kind = 'quarantine'"),
            ):
                flipped = "set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)"
                statement = f"UPDATE {table} SET wrapped = {flipped} WHERE {which}"
                assert connection.execute(text(statement)).rowcount > 0
    want(SM4_GCM, monkeypatch)
    with site.opened() as custody:
        records = len(rows_of(custody))
        done = total(rekey(custody, TESTER, SM4_GCM))
        assert done.records == records - lost
        left = coverage(custody)
        levels = {line.level for line in left.lines if not line.wanted}
        assert {DOCUMENT, QUARANTINE, LOCATION, "general"} <= levels
        assert done.unreadable >= lost + 3
        assert all(one.has_key for one in left.stray), "nothing was thrown away"


def test_a_key_cut_to_a_byte_is_counted_as_under_no_suite(site: Site, people: list[UUID]) -> None:
    assert people
    with site.opened() as custody:
        with transaction(custody.keyring.turner.engine) as connection:
            cut = "UPDATE data_keys SET wrapped = '\\x01' WHERE period = 'identity'"
            rows = connection.execute(text(cut)).rowcount
        assert rows == len(people)
        data = {one.suite: one.keys for one in key_standing(custody).wrapped if one.kind == "data"}
        assert data["unknown"] == rows
        assert data[AES_256_GCM.name] > 0


def test_rows_that_store_refuses_never_lie_under_a_key_that_ended(
    site: Site, people: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one chunk holds expires just as the store of the next is about to hold a row."""
    assert people
    with site.opened(chunk_rows=1) as custody:
        rows = [transaction_row(index, 0, SAME_QUARTER) for index in (9_998, 9_999)]
        file = transactions_file(tmp_path / "unknown.csv", rows)
        batch = take_in(custody, file.source, file.path)
        store_chunk(custody, TESTER, batch.id, 0)
        assert [row.stage for row in list_quarantine(custody)] == ["store"]
        later = NOW + timedelta(days=custody.policy.settings.quarantine_days + 1)
    ended = threading.Event()
    with site.opened(lambda: later, chunk_rows=1) as custody:

        def expire() -> None:
            assert expire_quarantine(custody, TESTER) == 1
            ended.set()

        def hold_slowly(*args: object) -> None:
            expiry.start()
            assert not ended.wait(0.5), "the key ended while it was about to be used"
            hold_rows(*args)

        hold_rows, expiry = store_acts.hold_rows, threading.Thread(target=expire)
        monkeypatch.setattr(store_acts, "hold_rows", hold_slowly)
        store_chunk(custody, TESTER, batch.id, 1)
        expiry.join(20)
        assert ended.is_set()
        finish_store(custody, TESTER, batch.id)
        assert len(list_quarantine(custody, batch.id)) == 1
        assert len(reveal_quarantine(custody, TESTER, batch.id)) == 1
        verify_installation(custody, deep=True)


def test_a_store_that_does_not_keep_the_key_is_noticed(
    site: Site, people: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "share_batch", lambda *_: None)
    with pytest.raises(AssertionError, match="about to be used"):
        test_rows_that_store_refuses_never_lie_under_a_key_that_ended(
            site, people, tmp_path, monkeypatch
        )
