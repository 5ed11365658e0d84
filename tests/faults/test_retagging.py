"""Renewing identity tags: nobody is lost or doubled, killed or raced; the old key finds nobody."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from dying import dying_at
from everything import values_of
from house import (
    NOW,
    TESTER,
    TODAY,
    Site,
    copied,
    destroy,
    plan_all,
    put_away,
    take_in,
    take_keystore,
)
from racing import (
    CONTRACTS,
    SAME_QUARTER,
    claimed_plan,
    contract,
    contracts_file,
    errors,
    miscounted,
    race,
    settle,
    settled_contracts,
    unsound,
)
from sqlalchemy import text
from story import CONSENTS, CUSTOMERS, consents, customer, customer_of, write_file

from custody.acts import examining, retagging
from custody.acts import references as reference_acts
from custody.acts.batches import receipts_of
from custody.acts.context import Custody
from custody.acts.destroy import erase_chunk
from custody.acts.keeping import undone_by_backup
from custody.acts.lookup import find_customer
from custody.acts.references import Opener
from custody.acts.retagging import EVENTS, renew_tags, tag_standing
from custody.acts.store import finish_store, store_chunk
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database import identities
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys.root import RootUnavailableError
from custody.keys.tags import IdentityTags
from custody.seal import KeyMissingError, SealInvalidError

PEOPLE = 7
RACES = 100
STEPS = (
    "retag:key-made",
    "identity:tags:begun:before-commit",
    "retag:begun",
    "references:page-done",
    "retag:records-tagged",
    "rotate:root-created",
    "replace:renamed",
    "rotate:keystore-written",
    "rotate:root-destroyed",
    "rotate:settled",
    "retag:key-destroyed",
    "identity:tags:renewed:before-commit",
)
# A run that was killed behind these is not gone through again.
ONCE = frozenset({"retag:begun", "rotate:settled"})
PAGED = frozenset({"references:page-done", "retag:records-tagged"})


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few customers be several pages."""
    monkeypatch.setattr(retagging, "PAGE", 3)
    monkeypatch.setattr(reference_acts, "PAGE", 3)


@pytest.fixture
def people(site: Site, tmp_path: Path) -> list[UUID]:
    """Return customers who have a contract and a transaction each."""
    with site.opened() as custody:
        return settled_contracts(custody, tmp_path, PEOPLE, SAME_QUARTER)


def tags_of(custody: Custody) -> set[bytes]:
    """Return every tag that is of an epoch: of references, and of records."""
    query = "SELECT tag FROM identity_tags UNION ALL SELECT tag FROM record_keys"
    with transaction(custody.data) as connection:
        return {bytes(tag) for tag in connection.execute(text(query)).scalars()}


def found(custody: Custody) -> list[UUID | None]:
    return [customer_of(custody, index) for index in range(PEOPLE)]


def epoch_keys(custody: Custody) -> list[str]:
    custody.keyring.keystore.reload()
    return sorted(name for name in custody.keyring.keystore.names if name.startswith("tag/"))


def said(custody: Custody) -> list[str]:
    with transaction(custody.data) as connection:
        return [one.event for one in read_entries(connection) if one.event in EVENTS]


def test_everybody_is_found_as_before_and_no_tag_is_what_it_was(
    site: Site, people: list[UUID]
) -> None:
    with site.opened() as custody:
        before, values = tags_of(custody), values_of(custody)
        receipt = renew_tags(custody, TESTER)
        assert (receipt.epoch, receipt.references, receipt.records) == (2, PEOPLE, 2 * PEOPLE)
        after = tags_of(custody)
        assert len(after) == len(before) == 3 * PEOPLE
        assert not after & before
        assert found(custody) == people
        assert values_of(custody) == values
        assert epoch_keys(custody) == ["tag/2"]
        assert said(custody) == list(EVENTS)
        verify_installation(custody, deep=True)


@pytest.mark.parametrize("cut_off", [None, "retag:begun", "references:page-done"])
def test_the_same_file_is_unchanged_and_a_changed_one_replaces_whenever_it_comes(
    site: Site, people: list[UUID], tmp_path: Path, cut_off: str | None
) -> None:
    """After the renewal, and in the middle of one that was cut off."""
    with site.opened() as custody:
        if cut_off is None:
            renew_tags(custody, TESTER)
        else:
            with dying_at(cut_off) as death:
                renew_tags(custody, TESTER)
            assert death.came
    rows = [contract(index) for index in range(PEOPLE)]
    moved = [contract(index, address="成都市人民路 9 号") for index in range(PEOPLE)]
    with site.opened() as custody:
        same = contracts_file(tmp_path / "again.csv", [*rows, contract(PEOPLE)])
        batch = take_in(custody, CONTRACTS, same.path)
        put_away(custody, batch)
        assert sum(one.unchanged for one in receipts_of(custody, batch.id)) == PEOPLE
        assert sum(one.stored for one in receipts_of(custody, batch.id)) == 1
        batch = take_in(custody, CONTRACTS, contracts_file(tmp_path / "moved.csv", moved).path)
        put_away(custody, batch)
        assert sum(one.replaced for one in receipts_of(custody, batch.id)) == PEOPLE
        renew_tags(custody, TESTER)
        assert found(custody) == people
        assert unsound(custody, PEOPLE + 1) == []
        assert len(values_of(custody)) == 2 * PEOPLE + 1


@pytest.mark.parametrize("cut_off", ["retag:begun", None])
def test_a_batch_taken_in_before_is_stored_after(
    site: Site, people: list[UUID], tmp_path: Path, cut_off: str | None
) -> None:
    rows = [contract(index, address="成都市人民路 9 号") for index in range(PEOPLE + 2)]
    with site.opened() as custody:
        batch = take_in(custody, CONTRACTS, contracts_file(tmp_path / "rows.csv", rows).path)
        if cut_off:
            with dying_at(cut_off):
                renew_tags(custody, TESTER)
        else:
            renew_tags(custody, TESTER)
        put_away(custody, batch)
        receipts = receipts_of(custody, batch.id)
        assert sum(one.replaced for one in receipts) == PEOPLE
        assert sum(one.stored for one in receipts) == PEOPLE + 2
        renew_tags(custody, TESTER)
        assert unsound(custody, PEOPLE + 2) == []
        assert found(custody) == people


@pytest.mark.usefixtures("people")
def test_the_old_key_and_every_number_find_nobody(
    site: Site, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    """The control: with the copy of the database that belongs to the key they find everybody."""
    with site.opened() as custody:
        old = custody.keyring.tags.epochs(1).now
        dump = tags_of(custody)
    with copied(postgres, site, tmp_path) as copy:
        with site.opened() as custody:
            renew_tags(custody, TESTER)
            assert guessed(old, tags_of(custody)) == 0
        assert guessed(old, dump) == 2 * PEOPLE
        take_keystore(site, copy)
        with copy.opened() as then, pytest.raises(RootUnavailableError, match="no entry tag/1"):
            found(then)


def guessed(tags: IdentityTags, dump: set[bytes]) -> int:
    """Return how many tags of a dump are those of customer numbers, of all that there can be."""
    of_number = tags.references("customer_no", "legacy")
    of_record = tags.records("customers", "legacy_contract", "legacy")
    numbers = [contract(index)["customer_no"] for index in range(200)]
    return len(dump & {tag for one in numbers for tag in (of_number(one), of_record(one))})


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_twice_nobody_is_lost(site: Site, people: list[UUID], step: str) -> None:
    with site.opened() as custody:
        values = values_of(custody)
    for turn in (1, 2):
        passing = turn if step in PAGED else 1
        with site.opened() as custody, dying_at(step, passing) as death:
            renew_tags(custody, TESTER)
        assert death.came or (turn == 2 and step in ONCE)
        with site.opened() as custody:
            assert found(custody) == people
            assert values_of(custody) == values
            verify_installation(custody, deep=True)
    with site.opened() as custody:
        renew_tags(custody, TESTER)
        standing = tag_standing(custody)
        assert (standing.waiting, standing.due) == (0, False)
        assert epoch_keys(custody) == [f"tag/{standing.epoch}"]
        assert said(custody)[-1] == EVENTS[1]
        assert found(custody) == people
        assert values_of(custody) == values
        verify_installation(custody, deep=True)


def test_a_careless_renewal_loses_everybody(
    site: Site, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive twin: the old key goes as soon as the new epoch has begun."""
    begin = identities.begin_epoch

    def careless(connection: object, ending: int, at: datetime) -> bool:
        begun = begin(connection, ending, at)  # type: ignore[arg-type]
        opened[0].keyring.keystore.rotate([f"tag/{ending}"])
        return begun

    monkeypatch.setattr(retagging.identities, "begin_epoch", careless)
    opened: list[Custody] = []
    with site.opened() as custody:
        opened.append(custody)
        with pytest.raises(SealInvalidError, match="the key of its tag is destroyed"):
            renew_tags(custody, TESTER)
    with site.opened() as custody:
        assert found(custody) == [None] * len(people)


def test_stores_and_renewals_do_not_disturb_each_other(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 races store × renewal: four chunks at a time, each of them somebody new or known."""
    monkeypatch.setattr(retagging, "PAGE", 60)
    with site.opened(chunk_rows=1) as custody:
        known = [contract(index) for index in range(0, RACES, 2)]
        settle(custody, contracts_file(tmp_path / "known.csv", known))
        rows = [contract(index, address="成都市人民路 9 号") for index in range(RACES)]
        batch = take_in(custody, CONTRACTS, contracts_file(tmp_path / "p.csv", rows).path)
        wrong, epochs = [], []
        for start in range(0, batch.chunks, 4):
            renewing, *storing = race(
                start,
                partial(renew_tags, custody, TESTER),
                *[
                    partial(store_chunk, custody, TESTER, batch.id, number)
                    for number in range(start, start + 4)
                ],
            )
            wrong += [f"{start}: {error!r}" for error in errors([renewing, *storing])]
            epochs.append(tag_standing(custody).epoch)
        finish_store(custody, TESTER, batch.id)
        assert wrong == []
        assert batch.chunks == RACES
        assert epochs == list(range(2, RACES // 4 + 2)), "each round renewed everything"
        assert miscounted(custody, batch.id) == []
        assert unsound(custody, RACES) == []
        assert len(values_of(custody)) == RACES


def test_erasures_turns_and_renewals_do_not_disturb_each_other(site: Site, tmp_path: Path) -> None:
    count = 24
    with site.opened(chunk_rows=500) as custody:
        people = settled_contracts(custody, tmp_path, count, SAME_QUARTER)
        plans = [claimed_plan(custody, customer) for customer in people[: count // 2]]
        wrong = []
        for index, plan in enumerate(plans):
            outcomes = race(
                index,
                partial(erase_chunk, custody, TESTER, plan.id, 0),
                partial(renew_tags, custody, TESTER),
                partial(turn_keys, custody, TESTER),
            )
            wrong += [f"{index}: {one!r}" for one in errors(outcomes)]
        assert wrong == []
        assert unsound(custody, count) == []
        assert [customer_of(custody, index) for index in range(count)] == [
            *[None] * (count // 2),
            *people[count // 2 :],
        ]
        with transaction(custody.data) as connection:
            query = text("SELECT count(*) FROM suppression_tags")
            assert connection.execute(query).scalar_one() == count // 2


def test_a_load_that_is_being_examined_when_an_epoch_begins_refuses_nobody(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose rows they are is looked up by tags that are renewed meanwhile."""
    given = [row for index in range(PEOPLE) for row in consents(index)]
    with site.opened() as custody:
        file = write_file(tmp_path / "consents.csv", CONSENTS, given)
        take_in(custody, file.source, file.path)
    judge, renewed = examining.check_chunk, list[int]()

    def slowly(*what: object, **how: object) -> object:
        if not renewed:
            with site.opened() as other:
                renewed.append(renew_tags(other, TESTER).epoch)
        return judge(*what, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(examining, "check_chunk", slowly)
    with site.opened() as custody:
        rows = [customer(index) for index in range(PEOPLE)]
        file = write_file(tmp_path / "customers.csv", CUSTOMERS, rows)
        batch = take_in(custody, file.source, file.path)
        receipts = receipts_of(custody, batch.id)
    assert renewed == [2]
    assert sum(one.accepted for one in receipts) == PEOPLE
    assert all(one.reasons == {} for one in receipts)


def test_two_renewals_at_once_are_one(
    site: Site, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other begins between what one reads of the ledger and of the tags, and is cut off."""
    read, other_began = retagging.last_of, list[bool]()

    def and_then(connection: object, events: object) -> str | None:
        found = read(connection, events)  # type: ignore[arg-type]
        if not other_began:
            other_began.append(True)
            with site.opened() as other, dying_at("references:page-done") as death:
                renew_tags(other, TESTER)
            assert death.came
        return found

    monkeypatch.setattr(retagging, "last_of", and_then)
    with site.opened() as custody:
        assert renew_tags(custody, TESTER).epoch == 2
        assert tag_standing(custody).waiting == 0
        assert found(custody) == people
        assert said(custody) == list(EVENTS)
        renew_tags(custody, TESTER)
        assert found(custody) == people
        verify_installation(custody, deep=True)


def test_renewals_lookups_and_verifications_do_not_disturb_each_other(
    site: Site, people: list[UUID]
) -> None:
    numbers = [{"customer_no": contract(index)["customer_no"]} for index in range(PEOPLE)]
    with site.opened() as custody:
        for turn in range(12):
            one, other, looked, checked = race(
                turn,
                partial(renew_tags, custody, TESTER),
                partial(renew_tags, custody, TESTER),
                lambda: [find_customer(custody, TESTER, "legacy", one) for one in numbers],
                partial(verify_installation, custody, deep=True),
            )
            assert errors([one, other, looked, checked]) == []
            assert looked.value == people
        assert found(custody) == people
        assert epoch_keys(custody)[0] == f"tag/{tag_standing(custody).epoch}"


def test_whoever_was_erased_before_does_not_come_back_after(
    site: Site, people: list[UUID], tmp_path: Path
) -> None:
    with site.opened() as custody:
        assert destroy(custody, plan_all(custody, people[0])) is not None
        renew_tags(custody, TESTER)
        batch = take_in(
            custody, CONTRACTS, contracts_file(tmp_path / "again.csv", [contract(0)]).path
        )
        (receipt,) = receipts_of(custody, batch.id)
        assert receipt.reasons == {"subject_suppressed": 1}


def test_after_an_erasure_and_a_turn_no_copy_opens_the_reference(
    site: Site, people: list[UUID], tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    with copied(postgres, site, tmp_path) as copy:
        with site.opened() as custody:
            assert destroy(custody, plan_all(custody, people[2])) is not None
        with copy.opened() as then:
            assert opening(then, people[2]) == 1, "the control: with the keystore of then it opens"
        take_keystore(site, copy)
        with copy.opened() as now:
            assert opening(now, people[2]) == 1, "before the turn the erasure is not final"
        with site.opened() as custody:
            receipt = turn_keys(custody, TESTER)
            assert receipt is not None
            assert turn_keys(custody, TESTER) is None
            verify_installation(custody, deep=True)
        take_keystore(site, copy)
        with copy.opened() as now:
            assert opening(now, people[2]) == 0


def opening(custody: Custody, customer: UUID) -> int:
    """Return how many references of a customer open; there must be some."""
    with transaction(custody.data) as connection:
        everything = [one for page in identities.every_reference(connection) for one in page]
    own = [one for one in everything if one.customer_id == customer]
    assert own
    count = 0
    for one in own:
        try:
            count += Opener(custody, [one]).open(one) == contract(2)["customer_no"]
        except KeyMissingError:
            continue
    return count


@pytest.mark.usefixtures("people")
def test_a_tag_put_beside_another_reference_is_named_and_stops_the_renewal(site: Site) -> None:
    with site.opened() as custody:
        with transaction(custody.data) as connection:
            one, other, *_ = next(identities.every_reference(connection))
        with transaction(custody.data) as connection:
            move = text("UPDATE identity_tags SET tag = :new WHERE tag = :old")
            for old, new in ((one.tag, b"x"), (other.tag, one.tag), (b"x", other.tag)):
                connection.execute(move, {"old": old, "new": new})
        named = f"reference {one.reference} of customer"
        with pytest.raises(SealInvalidError, match=named):
            verify_installation(custody, deep=True)
        with pytest.raises(SealInvalidError, match="its tag is another's"):
            renew_tags(custody, TESTER)
        assert epoch_keys(custody) == ["tag/1", "tag/2"], "the old key stays until all is well"


def test_a_reference_that_does_not_open_does_not_stop_the_erasure_and_is_counted(
    site: Site, people: list[UUID]
) -> None:
    spoil = text("UPDATE identity_tags SET sealed = sealed || '\\x00' WHERE customer_id = :one")
    with site.opened() as custody:
        with transaction(custody.data) as connection:
            connection.execute(spoil, {"one": people[0]})
        assert destroy(custody, plan_all(custody, people[0])) is not None
        with transaction(custody.data) as connection:
            deleted = [e for e in read_entries(connection) if e.event == "record:data:deleted"]
        assert '"not_suppressed":1' in deleted[-1].body
        verify_installation(custody, deep=True)


@pytest.mark.parametrize("change", ["another key", "dataset dropped"])
def test_what_names_a_record_may_have_changed_since(
    site: Site, people: list[UUID], change: str
) -> None:
    """The policies of before are asked."""
    with site.opened() as opened:
        datasets = dict(opened.policy.datasets)
        if change == "another key":
            other = ("customer_no", "transaction_no")
            datasets["transactions"] = replace(datasets["transactions"], record_key=other)
        else:
            del datasets["transactions"]
        custody = replace(opened, policy=replace(opened.policy, datasets=datasets))
        receipt = renew_tags(custody, TESTER)
        assert receipt.records == 2 * len(people)
    with site.opened() as custody:
        assert unsound(custody, PEOPLE) == []


@pytest.mark.usefixtures("people")
def test_it_is_due_once_a_year_and_a_backup_of_the_keystore_undoes_it(site: Site) -> None:
    clock: list[datetime] = [datetime.now(NOW.tzinfo)]
    with site.opened(lambda: clock[0]) as custody:
        assert not tag_standing(custody).due
        renew_tags(custody, TESTER)
        assert not tag_standing(custody).due
        clock[0] += timedelta(days=364)
        assert not tag_standing(custody).due
        clock[0] += timedelta(days=2)
        assert tag_standing(custody).due
        undone = undone_by_backup(custody, TODAY)
        assert [(one.event, one.destroyed) for one in undone] == [(EVENTS[1], 1)]
        with dying_at("retag:begun"):
            renew_tags(custody, TESTER)
        assert tag_standing(custody).due, "it was cut off"
        assert tag_standing(custody).waiting == 3 * PEOPLE
