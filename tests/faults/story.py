"""The story the kill tests interrupt: small, with every way a row can go.

Twenty people, two overlapping files of customers, contracts and enquiries; rows that repeat and
contradict each other across chunks, two people in one row, replaced records, consents withdrawn,
records due while others live on under the same key, and holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

from house import TESTER, TODAY, ZONE, destroy, plan_all, put_away, take_in

from custody.acts.consents import show_consents, withdraw_consent
from custody.acts.context import Custody
from custody.acts.holds import add_hold, record_event
from custody.acts.subjects import find_subject
from custody.database import plans, records
from custody.database.engine import transaction
from custody.database.holds import holds_on
from custody.demo.agreements import (
    CARE,
    CONSENT_COLUMNS,
    SERVICE,
    Choices,
    consent_rows,
)
from custody.demo.people import Person, World, make_person
from custody.demo.rows import (
    CUSTOMER_COLUMNS,
    ENQUIRY_COLUMNS,
    TRANSACTION_COLUMNS,
    Row,
    customer_row,
)
from custody.demo.writers import CsvWriter
from custody.quality.engine import Outcome

WORLD = World(seed=11, today=TODAY, zone=ZONE)
CONSENTS, CUSTOMERS = "legacy_consents", "legacy_customers"
TRANSACTIONS, ENQUIRIES = "legacy_transactions", "legacy_enquiries"
_COLUMNS: Mapping[str, tuple[Mapping[str, str], str]] = {
    CONSENTS: (CONSENT_COLUMNS, "utf-8"),
    CUSTOMERS: (CUSTOMER_COLUMNS, "gb18030"),
    TRANSACTIONS: (TRANSACTION_COLUMNS, "gb18030"),
    ENQUIRIES: (ENQUIRY_COLUMNS, "utf-8"),
}
PEOPLE = 20
STRANGER = 18  # has no consents
LEAVES, LEAVES_CARE, LEAVES_HELD, ENDS = 2, 3, 4, 5
HELD, RECORD_HELD = 6, 7


def person(index: int) -> Person:
    """Return one of the story's people, an adult."""
    return make_person(WORLD, index, minor=False)


def customer(index: int, **changes: str) -> Row:
    """Return a person's record, with changes."""
    made = person(index)
    health = {"health_note": "青霉素过敏"} if index % 3 == 0 else {}
    return {**customer_row(made, made.customer_no), **health, **changes}


def consents(index: int, *, care: bool = True) -> list[Row]:
    """Return a person's consents."""
    made = person(index)
    rows = consent_rows(WORLD, made, made.customer_no, Choices(care=care))
    return [row | {"evidence_ref": f"EV{index}-{n}"} for n, row in enumerate(rows)]


def transaction_row(index: int, turn: int, day: date) -> Row:
    """Return one of a person's transactions."""
    return {
        "transaction_no": f"T{index:04d}{turn}",
        "customer_no": person(index).customer_no,
        "occurred_on": day.isoformat(),
        "product": "医疗险",
        "amount": f"{100 + index}.{turn:02d}",
        "currency": "CNY",
        "payment_account": person(index).bank_card,
        "billing_address": person(index).address,
    }


def enquiry(index: int, day: str) -> Row:
    """Return one of a person's enquiries."""
    return {
        "enquiry_no": f"Q{index:04d}",
        "customer_no": person(index).customer_no,
        "asked_at": f"{day}T10:00:00+08:00",
        "channel": "web",
        "body": f"本人身份证{person(index).resident_id}，麻烦查一下。"
        if index % 2
        else "请问何时生效？",
    }


def first_customers() -> Iterable[Row]:
    """Yield the first file: repeats and contradictions lie chunks apart."""
    yield from (customer(index) for index in range(10))
    yield customer(1)  # the same again: unchanged
    yield customer(10, mobile="12")  # malformed
    yield customer(STRANGER)  # nobody consented
    yield customer(9, address="另一处")  # contradicts row 10: both are refused
    yield customer(12, customer_no=person(11).customer_no)  # two people in one row


def second_customers() -> Iterable[Row]:
    """Yield the second file: it overlaps the first."""
    yield from (customer(index) for index in range(3))  # unchanged
    yield from (customer(index, address="新址一号") for index in range(3, 8))  # replaced
    yield from (customer(index) for index in range(11, 14))  # new
    yield customer(13)


def transactions() -> Iterable[Row]:
    """Yield contracts: due, not due in the same quarter, and due much later."""
    for index in (0, 1, HELD, RECORD_HELD):
        yield transaction_row(index, 0, date(2015, 3, 2 + index))
        yield transaction_row(index, 1, date(2021, 12, 10))
    for index in (LEAVES_CARE, 8):
        yield transaction_row(index, 2, date(2023, 2, 15))
    yield transaction_row(RECORD_HELD, 3, date(2016, 3, 2))
    yield transaction_row(40, 4, date(2025, 3, 2))  # nobody knows whose


def enquiries() -> Iterable[Row]:
    """Yield enquiries; one falls due in the quarter of a contract of the same person."""
    for index in (0, LEAVES_CARE, 8):
        yield enquiry(index, "2026-11-10")
    yield enquiry(LEAVES_CARE, "2026-11-11") | {"enquiry_no": "Q0099"}


def all_consents() -> Iterable[Row]:
    """Yield everybody's consents but the stranger's, one of them malformed, one twice."""
    for index in (*range(10), 11, 12, 13):
        yield from consents(index, care=index in (0, LEAVES_CARE, 8))
    yield consents(0)[0]
    yield consents(16)[0] | {"purpose": "no_such_purpose"}


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of one source."""

    source: str
    path: Path


def write_files(folder: Path) -> dict[str, File]:
    """Write the story's files."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "consents": (CONSENTS, all_consents()),
        "first": (CUSTOMERS, first_customers()),
        "second": (CUSTOMERS, second_customers()),
        "contracts": (TRANSACTIONS, transactions()),
        "enquiries": (ENQUIRIES, enquiries()),
    }
    return {
        name: write_file(folder / f"{name}.csv", source, rows)
        for name, (source, rows) in contents.items()
    }


def write_file(path: Path, source: str, rows: Iterable[Row], dataset: str = "") -> File:
    """Write one file of one source."""
    columns, encoding = _COLUMNS[dataset or source]
    with CsvWriter(path, columns, encoding) as writer:
        for row in rows:
            writer.write(row, ())
    return File(source=source, path=path)


def customer_of(custody: Custody, index: int) -> UUID | None:
    """Return whose the person's customer number is, None once erased."""
    dataset = custody.policy.dataset("customers")
    values = {"customer_no": person(index).customer_no}
    with transaction(custody.data) as connection:
        return find_subject(custody, connection, dataset, "legacy", values)


def require_customer(custody: Custody, index: int) -> UUID:
    """Return the person's customer, who must be known."""
    found = customer_of(custody, index)
    assert found is not None
    return found


def withdraw_once(custody: Custody, index: int, purpose: str) -> None:
    """Withdraw from a purpose unless that was done."""
    customer_id = customer_of(custody, index)
    if customer_id is None:  # withdrawn before, and erased since
        return
    given = [one for one in show_consents(custody, customer_id) if one.purpose == purpose]
    if any(one.withdrawn_at is None for one in given):
        withdraw_consent(custody, TESTER, customer_id, purpose)


def hold_once(custody: Custody, index: int, record_id: UUID | None = None) -> None:
    """Set a hold unless there is one."""
    customer_id = require_customer(custody, index)
    with transaction(custody.data) as connection:
        known = holds_on(connection, [customer_id])
    if not known:
        add_hold(custody, TESTER, customer_id, "dispute", record_id)


def events(custody: Custody) -> None:
    """Withdraw and hold."""
    withdraw_once(custody, LEAVES, SERVICE)
    withdraw_once(custody, LEAVES_CARE, CARE)
    withdraw_once(custody, LEAVES_HELD, SERVICE)
    hold_once(custody, LEAVES_HELD)
    hold_once(custody, HELD)
    hold_once(custody, RECORD_HELD, _oldest_record(custody, RECORD_HELD))


def ends(custody: Custody) -> None:
    """End two relationships."""
    for index in (ENDS, 0):
        customer_id = require_customer(custody, index)
        record_event(custody, TESTER, customer_id, "relationship_ended", date(2026, 6, 30))


def _oldest_record(custody: Custody, index: int) -> UUID:
    with transaction(custody.data) as connection:
        rows = records.records_of(connection, [require_customer(custody, index)])
    return min(
        (row for row in rows if row.ends_on), key=lambda row: (row.ends_on, row.row_number)
    ).id


def purge(custody: Custody) -> None:
    """Plan what is due and destroy it; a plan that is there already is gone on with."""
    with transaction(custody.data) as connection:
        known = plans.list_plans(connection)
    destroy(custody, known[-1] if known else plan_all(custody))


Act = Callable[[Custody], None]


def ingesting(files: Mapping[str, File], *names: str) -> Act:
    """Return the act that ingests these files."""

    def act(custody: Custody) -> None:
        for name in names:
            take_in(custody, files[name].source, files[name].path)

    return act


def storing(files: Mapping[str, File], *names: str) -> Act:
    """Return the act that stores these files; ingesting them again gives their batches."""

    def act(custody: Custody) -> None:
        for name in names:
            put_away(custody, take_in(custody, files[name].source, files[name].path))

    return act


def chapters(files: Mapping[str, File]) -> Sequence[tuple[str, Act]]:
    """Return the story in order; each chapter can be begun again.

    Both files of customers are ingested before either is stored, so that they overlap.
    """
    return (
        ("consents", ingesting(files, "consents")),
        ("first", ingesting(files, "first", "contracts")),
        ("second", ingesting(files, "second", "enquiries")),
        ("store", storing(files, "first", "contracts")),
        ("overlap", storing(files, "second", "enquiries")),
        ("events", events),
        ("ends", ends),
        ("destroy", purge),
    )


def remembered(
    run: Callable[..., tuple[Outcome, ...]],
) -> Callable[..., tuple[Outcome, ...]]:
    """Let Great Expectations judge each chunk once: the same chunks come hundreds of times."""
    known: dict[str, tuple[Outcome, ...]] = {}

    def run_once(*asked: object) -> tuple[Outcome, ...]:
        if repr(asked) not in known:
            known[repr(asked)] = run(*asked)
        return known[repr(asked)]

    return run_once
