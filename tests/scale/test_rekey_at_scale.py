"""Re-encrypting 200,000 records while four readers read; run by a command of its own.

pytest tests/scale -n0
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from benchmarks.ground import ACTOR, Ground, ground, seal_customers
from custody.acts.context import Custody
from custody.acts.coverage import UNSEALED, coverage
from custody.acts.rekey import rekey, rekey_chunk, total
from custody.acts.reveal import reveal
from custody.acts.sealing import open_records
from custody.database import records
from custody.database.engine import transaction
from custody.identifiers import RECORD, show_id
from custody.record import encode_payload
from custody.suites import AES_256_GCM, AES_256_GCM_SIV, SM4_GCM

RECORDS, READERS, PLANTED = 200_000, 4, 1_000
AT_ONCE, KNOWN = 20, 2_000


@pytest.fixture(scope="module")
def made() -> Iterator[Ground]:
    with ground() as found:
        seal_customers(found.custody, RECORDS)
        yield found


@contextmanager
def readers_of(custody: Custody) -> Iterator[list[int]]:
    """Have four readers read records at random during the block; yield how many came right."""
    with transaction(custody.data) as connection:
        ids = [one.id for one in records.records_after(connection, UUID(int=0), KNOWN)]
    stop, right, wrong = threading.Event(), [0] * READERS, list[str]()

    def read(place: int) -> None:
        chance = random.Random(place)
        while not stop.is_set():
            try:
                right[place] += _right(custody, chance.sample(ids, AT_ONCE))
            except Exception as error:  # noqa: BLE001 - the test judges it
                wrong.append(repr(error))

    readers = [threading.Thread(target=read, args=(place,)) for place in range(READERS)]
    for one in readers:
        one.start()
    try:
        yield right
    finally:
        stop.set()
        for one in readers:
            one.join()
    assert wrong == []


def _right(custody: Custody, ids: list[UUID]) -> int:
    fields = frozenset({"customer_no", "mobile", "resident_id"})
    found = reveal(
        custody, ACTOR, record_ids=ids, fields=fields, event="bench:records:read", facts={}
    )
    assert len(found) == len(ids)
    for one in found:
        number = int(str(one.values["customer_no"])[1:])
        assert one.values["mobile"] == f"138{number:08d}"
        assert one.values["resident_id"] == "11010519491231002X"
    return len(found)


def test_from_suite_to_suite_while_four_readers_read(made: Ground) -> None:
    with readers_of(made.custody) as right:
        for suite in (SM4_GCM, AES_256_GCM_SIV):
            there = made.under(suite)
            assert total(rekey(there, ACTOR, suite)).records == RECORDS
            found = coverage(there)
            assert found.is_whole
            assert {line.suite for line in found.lines} == {suite.name}
            assert found.seals >= 3 * RECORDS
    assert min(right) > 100 * AT_ONCE, "each of them was at it all the while"


def test_what_lies_in_clear_or_under_a_retired_suite_is_listed_and_then_gone(made: Ground) -> None:
    there = made.under(AES_256_GCM_SIV)
    with transaction(there.data) as connection:
        first = records.records_after(connection, UUID(int=0), PLANTED)
    retired = made.under(AES_256_GCM)
    ids = {row.id for row in first}
    for opened in open_records(there, first):
        clear = encode_payload(next(iter(opened.payloads.values())))
        with transaction(there.data) as connection:
            connection.execute(
                text("UPDATE records SET general = :clear WHERE id = :id"),
                {"clear": clear, "id": opened.row.id},
            )
    done = rekey_chunk(retired, ACTOR, UUID(int=0), PLANTED)
    assert done is not None
    found = coverage(there, listed=10 * PLANTED)
    assert len(found.stray) == found.seals - found.wanted
    in_clear = {one.reference for one in found.stray if one.suite == UNSEALED}
    assert in_clear == {show_id(RECORD, one) for one in ids}
    under = {one.reference for one in found.stray if one.suite == AES_256_GCM.name}
    assert len(under) == done.records == PLANTED
    renewed = total(rekey(there, ACTOR, AES_256_GCM_SIV, in_clear=True))
    assert renewed.unsealed == PLANTED
    assert coverage(there).is_whole
