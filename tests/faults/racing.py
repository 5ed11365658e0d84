"""Two acts on one customer at once, over and over, with seeded delays at their named steps."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from house import TESTER, put_away, take_in
from sqlalchemy import Connection, text
from story import TRANSACTIONS, File, customer_of, person, transaction_row, write_file

from custody.acts import consent_rows as consent_acts
from custody.acts import examining as ingest_acts
from custody.acts import planning
from custody.acts.batches import receipts_of
from custody.acts.context import Custody
from custody.acts.destroy import claim_plan
from custody.acts.endings import finish_endings
from custody.acts.planning import Scope, plan_destruction
from custody.acts.verify import verify_installation
from custody.database import records
from custody.database.engine import transaction
from custody.database.ledger import last_entry
from custody.database.plans import Plan, customers_of_chunk
from custody.database.quarantine import held_rows
from custody.demo.rows import CUSTOMER_COLUMNS, Row
from custody.gates import GateSuite
from custody.quality import Verdict
from custody.steps import observed_by

LONGEST_DELAY = 0.004
SAME_QUARTER = date(2021, 12, 10)
CONTRACTS = "contract_customers"
_NEVER = {
    "record of somebody erased": "SELECT count(*) FROM records r"
    " WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = r.customer_id AND c.state = 'active')",
    "tag of somebody erased": "SELECT count(*) FROM identity_tags t JOIN customers c"
    " ON c.id = t.customer_id WHERE c.state <> 'active'",
    "hold on somebody erased": "SELECT count(*) FROM holds h JOIN customers c"
    " ON c.id = h.customer_id WHERE c.state <> 'active'",
    "record without its own key": "SELECT count(*) FROM records r WHERE NOT EXISTS (SELECT FROM"
    " record_keys k WHERE k.record_id = r.id AND k.version = r.version AND k.period = r.period)",
    "key of no record": "SELECT count(*) FROM record_keys k"
    " WHERE NOT EXISTS (SELECT FROM records r WHERE r.id = k.record_id)",
    "search entry of no record": "SELECT count(*) FROM search_index s"
    " WHERE NOT EXISTS (SELECT FROM records r WHERE r.id = s.record_id)",
    "key that was to end": "SELECT count(*) FROM key_endings",
    "record that no plan can finish": "SELECT count(*) FROM plan_records WHERE outcome = 'failed'",
}


def accept_all(patch: pytest.MonkeyPatch) -> None:
    """Let every row pass the quality gate: it is not what these races are about."""

    def nothing_wrong(*_: object, **__: object) -> Verdict:
        return Verdict(
            blocking={},
            warnings={},
            findings=(),
            suite=GateSuite(stage="ingest", dataset="", checks=()),
            digest="",
        )

    patch.setattr(ingest_acts, "check_chunk", nothing_wrong)
    patch.setattr(consent_acts, "check_chunk", nothing_wrong)


@dataclass
class Outcome:
    """What one side of a race came to."""

    value: object = None
    error: BaseException | None = None
    done_at: float = 0.0


@dataclass
class HeadStart:
    """How much later the shorter side of a race sets out, at most: ``seconds``.

    It follows what races come to, so that either side wins some however fast the machine is.
    """

    seconds: float = 0.03

    def follow(self, *, shorter_won: bool) -> None:
        """Make the next race harder for the side that won this one."""
        self.seconds *= 1.2 if shorter_won else 1 / 1.2


def race(seed: int, *sides: Callable[[], object], head_start: float = 0.0) -> list[Outcome]:
    """Do everything at once and return what each came to.

    Args:
        head_start: At most so many seconds pass before the first side sets out, for it is shorter.
    """
    barrier = threading.Barrier(len(sides))
    outcomes = [Outcome() for _ in sides]
    threads = [
        threading.Thread(
            target=_side,
            args=(barrier, seed * 10 + place, head_start * (not place), side, outcomes[place]),
        )
        for place, side in enumerate(sides)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a side of the race hangs"
    return outcomes


def _side(
    barrier: threading.Barrier,
    seed: int,
    head_start: float,
    side: Callable[[], object],
    outcome: Outcome,
) -> None:
    chance = random.Random(seed)

    def delay(_: str) -> None:
        time.sleep(chance.random() * LONGEST_DELAY)

    barrier.wait()
    time.sleep(chance.random() * head_start)
    try:
        with observed_by(delay):
            outcome.value = side()
    except Exception as error:  # noqa: BLE001 - the test judges it
        outcome.error = error
    outcome.done_at = time.monotonic()


def contract(index: int, **changes: str) -> Row:
    """Return a person's record as a contract has it: no consent behind it."""
    made = person(index)
    return {
        **dict.fromkeys(CUSTOMER_COLUMNS, ""),
        "customer_no": made.customer_no,
        "name": made.name,
        "address": made.address,
        **changes,
    }


def contracts_file(path: Path, rows: Sequence[Row]) -> File:
    """Write a file of customers under contracts."""
    return File(source=CONTRACTS, path=write_file(path, "legacy_customers", rows).path)


def transactions_file(path: Path, rows: Sequence[Row]) -> File:
    """Write a file of transactions."""
    return write_file(path, TRANSACTIONS, rows)


def settle(custody: Custody, *files: File) -> None:
    """Ingest and store files."""
    for file in files:
        put_away(custody, take_in(custody, file.source, file.path))


def settled_contracts(custody: Custody, folder: Path, count: int, *days: date) -> list[UUID]:
    """Settle so many customers with a transaction on each of the days."""
    people = contracts_file(folder / "people.csv", [contract(index) for index in range(count)])
    rows = [
        transaction_row(index, turn, day) for index in range(count) for turn, day in enumerate(days)
    ]
    settle(custody, people, *([transactions_file(folder / "t.csv", rows)] if rows else []))
    found = [customer_of(custody, index) for index in range(count)]
    assert None not in found
    return [one for one in found if one is not None]


def claimed_plan(custody: Custody, customer_id: UUID) -> Plan:
    """Plan the erasure of all of a customer and begin it."""
    scope = Scope(as_of=custody.today(), customer_id=customer_id)
    plan = plan_destruction(custody, TESTER, scope)
    claim_plan(custody, TESTER, plan.id)
    return plan


def purge_by_customer(custody: Custody, patch: pytest.MonkeyPatch) -> tuple[Plan, dict[UUID, int]]:
    """Plan and begin what is due, a chunk for every customer; return the plan and whose each is."""
    patch.setattr(planning, "CHUNK_CUSTOMERS", 1)
    plan = plan_destruction(custody, TESTER, Scope(as_of=custody.today()))
    chunks = claim_plan(custody, TESTER, plan.id)
    with transaction(custody.data) as connection:
        return plan, {
            customer: chunk
            for chunk in chunks
            for customer in customers_of_chunk(connection, plan.id, chunk)
        }


def errors(outcomes: Sequence[Outcome], *expected: type[BaseException]) -> list[BaseException]:
    """Return the errors that are none of the expected ones."""
    found = [one.error for one in outcomes if one.error is not None]
    return [one for one in found if not isinstance(one, expected)]


def miscounted(custody: Custody, batch_id: UUID) -> list[str]:
    """Return where a stored batch's counts do not add up with what is there."""
    receipts = receipts_of(custody, batch_id)
    with transaction(custody.data) as connection:
        held = len(held_rows(connection, batch_id))
        rows = records.records_after(connection, UUID(int=0), 100_000)
    stored = sum(row.batch_id == batch_id for row in rows)
    wrong = [str(r) for r in receipts if (r.read, r.state) != (r.accepted + r.refused, "stored")]
    if sum(receipt.refused for receipt in receipts) != held:
        wrong.append(f"{held} rows in quarantine")
    if sum(receipt.stored for receipt in receipts) != stored:
        wrong.append(f"{stored} records")
    return wrong


def unsound(custody: Custody, people: int) -> list[str]:
    """Return which of the things that hold in any state do not; a key or seal amiss raises.

    Args:
        people: How many customers there must be, erased ones too.
    """
    finish_endings(custody, TESTER)
    verify_installation(custody, deep=True)
    with transaction(custody.data) as connection:
        found = {name: _count(connection, query) for name, query in _NEVER.items()}
        everybody = _count(connection, "SELECT count(*) FROM customers")
    wrong = [f"{count} × {name}" for name, count in found.items() if count]
    return wrong + ([f"{everybody} customers"] if everybody != people else [])


def _count(connection: Connection, query: str) -> int:
    return int(connection.execute(text(query)).scalar_one())


def last_seq(connection: Connection) -> int:
    """Return the number of the newest entry of the ledger, 0 where there is none."""
    newest = last_entry(connection)
    return 0 if newest is None else newest.seq
