"""What a policy has dropped stays sealed, moves and ends like the rest; nobody is shown it."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from everything import rows_of, values_of
from house import TESTER, Site, destroy, take_in
from racing import SAME_QUARTER, put_away, settled_contracts, transactions_file
from story import transaction_row

from custody.acts.batches import receipts_of
from custody.acts.context import Custody
from custody.acts.planning import Scope, plan_destruction
from custody.acts.sealing import open_records
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database.batches import Batch
from custody.policy.model import Dataset, UnknownNameError

PEOPLE = 3


def without(custody: Custody, dropped: str, **changes: object) -> Custody:
    """Return the installation under a policy whose transactions have lost a field."""
    dataset = custody.policy.dataset("transactions")
    number = dataset.field(dropped).number
    left = tuple(one for one in dataset.fields if one.name != dropped)
    retired = {"retired_numbers": frozenset({number}), **changes}
    return under(custody, {dataset.name: replace(dataset, fields=left, **retired)})


def under(custody: Custody, transactions: dict[str, Dataset]) -> Custody:
    others = {k: v for k, v in custody.policy.datasets.items() if k != "transactions"}
    return replace(custody, policy=replace(custody.policy, datasets=others | transactions))


def ingested(custody: Custody, folder: Path) -> Batch:
    """Ingest a second transaction of each of three customers, whose first is settled."""
    settled_contracts(custody, folder, PEOPLE, SAME_QUARTER)
    rows = [transaction_row(index, 5, SAME_QUARTER) for index in range(PEOPLE)]
    file = transactions_file(folder / "more.csv", rows)
    return take_in(custody, file.source, file.path)


@pytest.fixture
def second(site: Site, tmp_path: Path) -> UUID:
    """Return a batch that gave each of three customers a second transaction in the quarter."""
    with site.opened() as custody:
        batch = ingested(custody, tmp_path)
        put_away(custody, batch)
        return batch.id


@pytest.mark.parametrize("dropped", ["retired field", "forgotten field", "whole dataset"])
def test_survivors_of_what_the_policy_dropped_are_sealed_again(
    site: Site, second: UUID, dropped: str
) -> None:
    with site.opened() as opened:
        custody = {
            "retired field": lambda: without(opened, "currency"),
            "forgotten field": lambda: without(opened, "currency", retired_numbers=frozenset()),
            "whole dataset": lambda: under(opened, {}),
        }[dropped]()
        before = {row.id: row.key_id for row in rows_of(opened) if row.dataset == "transactions"}
        values = values_of(opened)
        scope = Scope(as_of=custody.today(), batch_id=second)
        destroy(custody, plan_destruction(custody, TESTER, scope))
        assert turn_keys(custody, TESTER) is not None
        left = {row.id: row.key_id for row in rows_of(custody) if row.dataset == "transactions"}
        assert len(left) == PEOPLE
        assert all(key != before[one] for one, key in left.items())
        assert values_of(custody) == {one: values[one] for one in values_of(custody)}
        verify_installation(custody, deep=True)


def test_a_field_retired_between_ingest_and_store_is_left_out(site: Site, tmp_path: Path) -> None:
    with site.opened() as opened:
        batch = ingested(opened, tmp_path)
        put_away(without(opened, "currency"), batch)
        new = [row for row in rows_of(opened) if row.batch_id == batch.id]
        assert len(new) == PEOPLE
        assert not any("currency" in one.values(opened) for one in open_records(opened, new))


def test_a_retired_field_is_shown_to_nobody_and_a_forgotten_one_is_a_fault(
    site: Site, second: UUID
) -> None:
    assert second
    with site.opened() as custody:
        row = next(row for row in rows_of(custody) if row.dataset == "transactions")
        (record,) = open_records(custody, [row])
        whole = record.values(custody)
        shown = record.values(without(custody, "currency"))
        assert whole.keys() - shown.keys() == {"currency"}
        with pytest.raises(UnknownNameError):
            record.values(without(custody, "currency", retired_numbers=frozenset()))


def test_rows_without_what_names_a_record_by_now_wait_in_quarantine(
    site: Site, tmp_path: Path
) -> None:
    """The policy names records otherwise since they were taken in, by a field it had not then."""
    with site.opened() as opened:
        batch = ingested(opened, tmp_path)
        dataset = opened.policy.dataset("transactions")
        added = replace(dataset.field("transaction_no"), name="ticket_no", number=99)
        named = replace(dataset, fields=(*dataset.fields, added), record_key=("ticket_no",))
        put_away(under(opened, {dataset.name: named}), batch)
        (receipt,) = receipts_of(opened, batch.id)
        assert (receipt.stored, receipt.reasons) == (0, {"required_missing": PEOPLE})
