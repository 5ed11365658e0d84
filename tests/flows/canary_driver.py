"""Two hundred marked customers go through all five stages, which first fail at every step.

A process of its own, started by test_leak_canary.py: ``python -m canary_driver FOLDER``, with the
environment of a client of the stack. What it prints and what Prefect shows on its terminal lies in
files that are searched too. What it did is left in ``FOLDER/done.json``, without any value.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Any

import controls
import forced_errors
import pyrage
from failures import FAILURES, Failure
from markers import CUSTOMERS, Marked
from people_house import STAFF, House
from prefect.flow_engine import FlowRunEngine
from sqlalchemy import text as sql
from wrong_parameters import give_wrong_parameters

import tasks.destroy
import tasks.ingest
import tasks.keys
import tasks.reconcile
import tasks.requests
from config.installation import now, places, policy_folder
from config.settings import load_settings, wanted
from custody.acts import batches
from custody.acts.consents import withdraw_consent
from custody.acts.context import Actor, Custody
from custody.acts.holds import add_hold
from custody.acts.planning import Scope, plan_destruction
from custody.acts.setup import create_installation
from custody.acts.use import list_grants
from custody.acts.verify import verify_installation
from custody.approval import CLEAR
from custody.database.customers import count_customers
from custody.database.engine import transaction
from custody.database.migrate import migrate
from custody.embedded.runtime import running
from custody.identifiers import BATCH, PLAN, REQUEST, show_id
from custody.policy.load import load_policy
from custody.quality import engine as quality
from flows.close_period import close_period
from flows.destroy import destroy
from flows.ingest import ingest
from flows.reconcile import reconcile
from flows.rekey import rekey
from flows.retag import retag
from flows.store import store
from flows.transfer import transfer
from flows.turn import turn
from flows.use import use
from tasks.context import custody

KINDS_A_STEP = 4
ENDINGS = ("KeyboardInterrupt", "GeneratorExit", "CancelledError", "termination", "child process")
SHELL = Actor(how="os-user", name="tester")
MODULES = (tasks.ingest, tasks.destroy, tasks.requests, tasks.keys, tasks.reconcile)
TEXT = Marked(number=199).text("客户")
SOURCES = (
    "legacy_consents",
    "legacy_customers",
    "branch_customers",
    "canary_sql",
    "legacy_transactions",
    "legacy_enquiries",
    "legacy_profiles",
)


class Driver:
    """What was done, for the test to assert on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: list[str] = []
        self.seconds: list[tuple[str, float]] = []
        self.receipts: dict[str, object] = {}
        self._failures = cycle(_chosen())

    def fails_at(self, *steps: str) -> Iterator[tuple[str, Failure]]:
        """Yield each step a few times, each time with another failure."""
        for step in steps:
            for _ in range(KINDS_A_STEP):
                kind, failure = next(self._failures)
                yield f"{step}: {kind}", failure

    def expect_failure(self, label: str, run: Callable[[], object]) -> None:
        """Run something that must fail, and print its traceback as Python would."""
        began = monotonic()
        try:
            run()
        except BaseException as error:
            traceback.print_exc()
            if not label.startswith(f"{getattr(error, 'step', label.partition(':')[0])}:"):
                raise AssertionError(label) from error
            self.failed.append(label)
            self.seconds.append((label, round(monotonic() - began, 2)))
        else:
            raise AssertionError(label)

    def fail_every_step(self, run: Callable[[], object], *steps: str) -> None:
        """Let a flow fail in each of its steps, by a few kinds each."""
        for label, failure in self.fails_at(*steps):
            with failing_in(label.partition(":")[0], failure):
                self.expect_failure(label, run)


def _chosen() -> list[tuple[str, Failure]]:
    """Return every failure but those that end the process; each fifth is the database's."""
    database = cycle([("raw SQL", raw_sql), ("translated SQL", translated_sql)])
    others = [(name, FAILURES[name]) for name in FAILURES if name not in ENDINGS]
    chosen = []
    for number, other in enumerate(others):
        if number % (KINDS_A_STEP - 1) == 0:
            chosen.append(next(database))
        chosen.append(other)
    return chosen


def raw_sql(text: str) -> object:
    """Raise what the database raises, untranslated: its message quotes the value."""
    with custody().data.begin() as connection:
        return connection.execute(sql("SELECT CAST(:value AS integer)"), {"value": text})


def translated_sql(text: str) -> object:
    """Raise what acts raise when the database fails; the step is tried again."""
    with transaction(custody().data) as connection:
        return connection.execute(sql("SELECT CAST(:value AS date)"), {"value": text})


@contextmanager
def failing_in(step: str, failure: Failure) -> Iterator[None]:
    """Let the step fail where it turns to the installation, with a customer in its hands."""

    def failing_custody() -> Custody:
        caller = sys._getframe(1).f_code.co_name
        if caller == step:
            failure(TEXT)
            raise ValueError(TEXT)  # some failures need not raise
        return custody()

    for module in MODULES:
        module.custody = failing_custody  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in MODULES:
            module.custody = custody  # type: ignore[attr-defined]


@contextmanager
def hostile_quality(raises: bool) -> Iterator[None]:  # noqa: FBT001 - one of two ways
    """Let Great Expectations raise, or put a traceback with values into its results."""

    class Hostile(str):
        """A cell that raises, values and all, when it is looked at."""

        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise ValueError(TEXT, other)

        def __hash__(self) -> int:
            raise ValueError(TEXT)

    original = quality._frame

    def frame(*args: Any) -> Any:
        if raises:
            raise TypeError(f"cannot cast {TEXT}")
        made = original(*args)
        for column in made.columns:
            if made[column].dtype == object:
                made[column] = [Hostile(TEXT) for _ in made.index]
        return made

    quality._frame = frame  # type: ignore[assignment]
    try:
        yield
    finally:
        quality._frame = original


def main(folder: Path) -> None:
    # The end of a run waits a second for its heartbeat.
    FlowRunEngine.heartbeat_seconds = None  # type: ignore[assignment, misc]
    settings = load_settings()
    with running(wanted(settings)) as where:
        migrate(str(where.owner_url), str(where.keys_owner_url))
        policy = load_policy(policy_folder(settings))
        (settings.home / "keys").mkdir(mode=0o700, exist_ok=True)
        create_installation(places(settings, where), policy, SHELL, now, synthetic=True)
    for module in MODULES:
        for step in vars(module).values():
            if hasattr(step, "retry_delay_seconds"):
                step.retry_delay_seconds = 0
    driver = Driver(folder)
    controls.plant(settings.home)
    driver.receipts["forced_errors"] = forced_errors.force(custody(), TEXT)
    driver.receipts["wrong_parameters"] = give_wrong_parameters(TEXT)
    take_in_and_store(driver)
    people = house(folder)
    ask_to_use(driver, people)
    ask_to_transfer(driver, people)
    take_out(driver)
    keep_keys(driver)
    driver.receipts["verify"] = str(verify_installation(custody(), deep=True))
    done = {"failed": driver.failed, "seconds": driver.seconds, **driver.receipts}
    (folder / "done.json").write_text(json.dumps(done, default=str), encoding="utf-8")


def take_in_and_store(driver: Driver) -> None:
    """Take every source in and store it; the customers' first, failing at every step."""
    driver.fail_every_step(lambda: ingest("canary_sql", dry_run=True), "examine_source")
    driver.expect_failure("open_batch: database gone", lambda: ingest("canary_gone"))
    counts = {}
    for source in SOURCES:
        file = next(driver.folder.glob(f"sources/*{source}*"), None)
        batch = batches.open_batch(custody(), SHELL, source, str(file) if file else None)
        shown = show_id(BATCH, batch.id)
        if source == "legacy_customers" and file is not None:
            fail_taking_in(driver, shown, file)
        taken = ingest(source, shown)
        if source == "legacy_customers":
            driver.fail_every_step(
                lambda shown=shown: store(shown),
                *("claim_store", "store_span", "finish_store", "fit_search"),
            )
        counts[source] = taken if source == "legacy_consents" else store(shown)
    driver.receipts["counts"] = {
        name: {"read": one.read, "stored": one.stored, "reasons": one.reasons}
        for name, one in counts.items()
    }


def fail_taking_in(driver: Driver, batch: str, file: Path) -> None:
    driver.fail_every_step(lambda: ingest("legacy_customers", batch), "open_batch", "ingest_span")
    for raises in (True, False):
        with hostile_quality(raises):
            driver.expect_failure(
                f"ingest_span: quality {raises}", lambda: ingest("legacy_customers", batch)
            )
    moved = file.with_suffix(".moved")
    file.rename(moved)
    driver.expect_failure("ingest_span: no file", lambda: ingest("legacy_customers", batch))
    moved.rename(file)
    driver.fail_every_step(lambda: ingest("legacy_customers", batch), "close_batch")


def house(folder: Path) -> House:
    """Hire the people; the partner's key is the test's."""
    identity = pyrage.x25519.Identity.from_str((folder / "partner.key").read_text().strip())
    (folder / "people").mkdir()
    people = House(custody=custody(), clock=now, folder=folder / "people", partner=identity)
    for name, role in STAFF:
        people.hire(name, role)
    return people


def ask_to_use(driver: Driver, people: House) -> None:
    masked = people.file(people.ask_use())
    clear = people.file(people.ask_use(fields={"customer_no": CLEAR, "name": CLEAR}))
    shown = [show_id(REQUEST, request) for request in (masked, clear)]
    driver.fail_every_step(lambda: use(shown[0]), "take_request", "decide", "grant")
    ends = [use(one) for one in shown]
    rows = [len(people.read(grant.id).rows) for grant in list_grants(custody())]
    driver.receipts["use"] = {"states": [end.state for end in ends], "rows": rows}


def ask_to_transfer(driver: Driver, people: House) -> None:
    request = people.file(people.ask_transfer())
    shown = show_id(REQUEST, request)
    driver.fail_every_step(lambda: transfer(shown), "take_request", "decide")
    first = transfer(shown)
    for voter in ("zhao", "qian"):
        people.vote(request, voter)
    driver.fail_every_step(lambda: transfer(shown), "deliver_package")
    last = transfer(shown)
    driver.receipts["transfer"] = {"states": [first.state, last.state], "rows": last.rows}


def take_out(driver: Driver) -> None:
    """Destroy what is due: old transactions, and what rests on consents that were withdrawn."""
    with transaction(custody().data) as connection:
        everybody = count_customers(connection)
        found = connection.execute(sql("SELECT id FROM customers ORDER BY id LIMIT 12"))
        chosen = [row.id for row in found]
    for customer in chosen[:10]:
        withdraw_consent(custody(), SHELL, customer, "insurance_service")
    add_hold(custody(), SHELL, chosen[0], reason="litigation")
    plan = plan_destruction(custody(), SHELL, Scope(as_of=custody().today()))
    shown = show_id(PLAN, plan.id)
    steps = (
        "expire_quarantine",
        "take_plan",
        "claim_plan",
        "erase_chunk",
        "verify_absence",
        "certify_destruction",
        "turn_keys",
    )
    driver.fail_every_step(lambda: destroy(shown), *steps)
    receipt = destroy(shown)
    driver.receipts["destroy"] = {"customers": everybody, "outcomes": receipt.outcomes}


def keep_keys(driver: Driver) -> None:
    """Turn every key, try to end a quarter, seal again what there is; each failing first."""
    driver.fail_every_step(lambda: close_period("2015Q1"), "end_period")
    steps = ("require_suite", "rekey_span", "rekey_others", "count_seals")
    driver.fail_every_step(rekey, *steps)
    driver.fail_every_step(retag, "renew_tags")
    turned, amiss, tagged = turn(everything=True).keys, rekey().amiss, retag().references
    steps = ("end_lost_runs", "adopt_ends", "announce_requests", "tell_reconciled")
    driver.fail_every_step(reconcile, *steps)
    driver.receipts["reconciled"] = str(reconcile())
    driver.receipts["keys"] = {"turned": turned, "amiss": amiss, "tagged": tagged}


if __name__ == "__main__":
    assert CUSTOMERS.digits in TEXT
    main(Path(sys.argv[1]))
