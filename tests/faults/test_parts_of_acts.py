"""What bulk acts did to one record is proved by itself, and of an erased person by nobody."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from house import TESTER, Site, copied, destroy, plan_all, take_keystore
from racing import contract, contracts_file, settle, settled_contracts
from sqlalchemy import text

from custody.acts.checkpoints import bring_up_to_date
from custody.acts.context import Custody
from custody.acts.proving import PartProof, prove_entry, prove_parts
from custody.acts.reveal import reveal
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database.engine import transaction
from custody.database.ledger import entry_of
from custody.database.records import records_of
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import UsageError
from custody.merkle import ProofInvalidError

PEOPLE = 6
DUE = date(2015, 3, 2)
KEPT = date(2026, 11, 2)


def events(custody: Custody, proofs: list[PartProof]) -> list[str]:
    """Check proofs to the tree's root, and return of which events they are."""
    found = []
    bring_up_to_date(custody)
    for proof in proofs:
        proof.verify()
        whole = prove_entry(custody, proof.seq)
        whole.verify()
        said = json.loads(whole.entry)
        named = said["body"]["facts"]["parts"]
        assert (named["count"], named["root"]) == (proof.head.size, proof.head.root.hex())
        found.append(said["event"])
    return found


def records_by_person(custody: Custody, people: list[UUID]) -> dict[UUID, list[UUID]]:
    with transaction(custody.data) as connection:
        rows = records_of(connection, people)
    return {one: [row.id for row in rows if row.customer_id == one] for one in people}


def read(custody: Custody, records: list[UUID]) -> None:
    fields = frozenset({"name"})
    reveal(custody, TESTER, record_ids=records, fields=fields, event="test:records:read", facts={})


def test_every_act_on_a_record_is_proved_by_itself(custody: Custody, tmp_path: Path) -> None:
    people = settled_contracts(custody, tmp_path, PEOPLE)
    of = records_by_person(custody, people)
    read(custody, [record for records in of.values() for record in records])
    changed = contracts_file(tmp_path / "again.csv", [contract(0, address="另一处")])
    settle(custody, changed)
    (record,), (other,) = of[people[0]], of[people[1]]
    stored, read_once = "chunk:store:completed", "test:records:read"
    assert events(custody, prove_parts(custody, record)) == [stored, read_once, stored]
    assert events(custody, prove_parts(custody, other)) == [stored, read_once]
    assert [one.version for one in prove_parts(custody, record)] == [1, 1, 2]


def test_a_part_of_another_record_version_or_person_is_not_proved(
    custody: Custody, tmp_path: Path
) -> None:
    people = settled_contracts(custody, tmp_path, 2)
    of = records_by_person(custody, people)
    (mine,), (yours,) = (prove_parts(custody, of[one][0]) for one in people)
    for wrong in (
        replace(mine, record=yours.record),
        replace(mine, version=2),
        replace(mine, opening=yours.opening),
        replace(mine, index=yours.index),
        replace(mine, path=yours.path),
    ):
        with pytest.raises(ProofInvalidError):
            wrong.verify()


def test_after_an_erasure_the_neighbours_prove_theirs_and_nobody_the_erased(
    custody: Custody, site: Site, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    people = settled_contracts(custody, tmp_path, PEOPLE, KEPT)
    of = records_by_person(custody, people)
    before = {one: prove_parts(custody, one) for records in of.values() for one in records}
    custody.data.dispose()
    custody.keyring.close()
    with copied(postgres, site, tmp_path) as copy:
        assert destroy(custody, plan_all(custody, people[0])) is not None
        turn_keys(custody, TESTER, everything=True)
        for one in people[1:]:
            for record in of[one]:
                assert prove_parts(custody, record) == before[record]
                events(custody, before[record])
        for record in of[people[0]]:
            with pytest.raises(UsageError):
                prove_parts(custody, record)
        verify_installation(custody, deep=True)
        # The control: an older copy would still prove the erased person's, with the keys of then,
        with copy.opened() as then:
            assert prove_parts(then, of[people[0]][0]) == before[of[people[0]][0]]
        # and with those of now it cannot.
        take_keystore(site, copy)
        with copy.opened() as old, pytest.raises(UsageError):
            prove_parts(old, of[people[0]][0])


def test_what_is_deleted_is_a_part_of_its_own_act(custody: Custody, tmp_path: Path) -> None:
    """One leaf for each record that went, and none for those that stayed."""
    people = settled_contracts(custody, tmp_path, 2, DUE, KEPT)
    with transaction(custody.data) as connection:
        before = records_of(connection, people)
    assert destroy(custody, plan_all(custody)) is not None
    with transaction(custody.data) as connection:
        left = {row.id for row in records_of(connection, people)}
        query = "SELECT max(seq) FROM ledger.entries WHERE event = 'record:data:deleted'"
        entry = entry_of(connection, connection.execute(text(query)).scalar_one())
    assert entry is not None
    gone = [row for row in before if row.id not in left]
    assert len(gone) == 2
    assert json.loads(entry.body)["facts"]["parts"]["count"] == len(gone)


def test_what_does_not_open_is_erased_all_the_same(custody: Custody, tmp_path: Path) -> None:
    people = settled_contracts(custody, tmp_path, 2)
    with transaction(custody.data) as connection:
        damaged = "UPDATE records SET general = set_byte(general, 40, get_byte(general, 40) # 1)"
        connection.execute(text(f"{damaged} WHERE customer_id = :id"), {"id": people[0]})
    assert destroy(custody, plan_all(custody, people[0])) is not None
    verify_installation(custody, deep=True)


def test_no_salt_and_no_opening_stands_in_the_ledger(custody: Custody, tmp_path: Path) -> None:
    people = settled_contracts(custody, tmp_path, PEOPLE)
    of = records_by_person(custody, people)
    openings = {one.opening.hex() for each in of.values() for one in prove_parts(custody, each[0])}
    with transaction(custody.data) as connection:
        said = connection.execute(text("SELECT string_agg(body, ' ') FROM ledger.entries"))
        whole = said.scalar_one()
    assert len(openings) == PEOPLE
    assert not any(one in whole for one in openings)
    assert not any(str(record) in whole or record.hex in whole for r in of.values() for record in r)
