"""The chain notices what is changed, removed, swapped or put in; what it cannot notice is said."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from custody.ledger import ZERO, Entry, Head, LedgerBrokenError, entry_hash, verify_chain

BEGAN = datetime(2026, 11, 23, 12, 0, 0, 654321, tzinfo=UTC)
LENGTH = 12


def chain(length: int = LENGTH) -> list[Entry]:
    entries, previous = [], ZERO
    for seq in range(1, length + 1):
        at, body = BEGAN + timedelta(microseconds=seq), f'{{"n":{seq}}}'
        made = entry_hash(previous, seq, at, "record:data:stored", body)
        entries.append(
            Entry(
                seq=seq, at=at, event="record:data:stored", body=body, previous=previous, hash=made
            )
        )
        previous = made
    return entries


def head_of(entries: list[Entry]) -> Head:
    return Head(seq=len(entries), hash=entries[-1].hash if entries else ZERO)


def test_an_untouched_chain_verifies() -> None:
    assert verify_chain(chain(), head_of(chain())) == LENGTH
    assert verify_chain([], head_of([])) == 0


def test_an_entrys_hash_is_what_the_docstring_says() -> None:
    by_hand = hashlib.sha256(ZERO + b"1|1795435200654322|record:data:stored|{}").digest()
    at = datetime.fromtimestamp(1795435200, UTC) + timedelta(microseconds=654322)
    assert entry_hash(ZERO, 1, at, "record:data:stored", "{}") == by_hand


@pytest.mark.parametrize("place", range(LENGTH))
@pytest.mark.parametrize(
    "change",
    [
        {"at": BEGAN - timedelta(days=1)},
        {"event": "record:data:deleted"},
        {"body": '{"n":0}'},
        {"previous": bytes(31) + b"\1"},
        {"hash": bytes(31) + b"\1"},
    ],
)
def test_any_changed_entry_is_named(place: int, change: dict[str, object]) -> None:
    entries = chain()
    entries[place] = replace(entries[place], **change)
    with pytest.raises(LedgerBrokenError) as broken:
        verify_chain(entries, head_of(chain()))
    assert broken.value.seq == place + 1


@pytest.mark.parametrize("place", range(LENGTH - 1))
def test_a_removed_entry_is_named(place: int) -> None:
    entries = chain()
    del entries[place]
    with pytest.raises(LedgerBrokenError) as broken:
        verify_chain(entries, head_of(chain()))
    assert broken.value.seq == place + 1


def test_swapped_and_repeated_entries_are_noticed() -> None:
    for entries in (
        [*chain()[1::-1], *chain()[2:]],
        [*chain()[:3], chain()[2], *chain()[3:]],
    ):
        with pytest.raises(LedgerBrokenError):
            verify_chain(entries, head_of(chain()))


def test_a_cut_tail_is_noticed_against_a_head_noted_elsewhere() -> None:
    with pytest.raises(LedgerBrokenError):
        verify_chain(chain()[:-1], head_of(chain()))


def test_a_tail_cut_together_with_its_head_is_not_noticed_by_the_chain_alone() -> None:
    cut = chain()[:-1]
    assert verify_chain(cut, head_of(cut)) == LENGTH - 1
