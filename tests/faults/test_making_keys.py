"""Two who make the same customers' keys at once come to the same keys, and wait in one order."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from house import Site
from sqlalchemy import Connection

from custody.database import keytables
from custody.database.keytables import WrappedKey
from custody.identifiers import random_id
from custody.reference import IDENTITY
from custody.retention import OPEN

CUSTOMERS = 50


def wanted() -> dict[tuple[UUID, str], int]:
    return {(random_id(), period): 1 for _ in range(CUSTOMERS) for period in (OPEN, IDENTITY)}


def test_keys_go_in_one_order_whoever_asks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise two who share customers would wait for each other."""
    copy, seen = keytables.copy_keys, list[tuple[int, str]]()

    def watched(connection: Connection, keys: Sequence[WrappedKey], more: Sequence[int]) -> int:
        seen.extend((key.customer_id.int, key.period) for key in keys)
        return copy(connection, keys, more)

    monkeypatch.setattr(keytables, "copy_keys", watched)
    with site.opened() as custody:
        custody.keyring.data_keys(wanted(), custody.now())
    assert len(seen) == 2 * CUSTOMERS
    assert seen == sorted(seen)


def test_where_somebody_was_quicker_their_keys_are_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the keys come between looking for them and adding them."""
    copy, theirs, asked = keytables.copy_keys, dict[tuple[UUID, str], object](), wanted()
    some = dict(list(asked.items())[::3])

    def late(connection: Connection, keys: Sequence[WrappedKey], more: Sequence[int]) -> int:
        if not theirs:
            monkeypatch.setattr(keytables, "copy_keys", copy)
            with site.opened() as other:
                theirs.update(other.keyring.data_keys(some, other.now()))
        return copy(connection, keys, more)

    with site.opened() as custody:
        custody.keyring.data_keys(wanted(), custody.now())  # the buckets are there
        monkeypatch.setattr(keytables, "copy_keys", late)
        made = custody.keyring.data_keys(asked, custody.now())
    assert made.keys() == asked.keys()
    assert {pair: made[pair] for pair in some} == theirs
    assert len({key.key_id for key in made.values()}) == 2 * CUSTOMERS
