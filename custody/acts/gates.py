"""Quality as a control: each stage's result in the ledger, and nothing past a gate that failed.

Ingest counts as its chunks come in and judges at the end of the batch. Store, transfer and destroy
judge within the transaction of the act, so what fails is not done; that it failed is then recorded
in a transaction of its own. A check that could not run raises like anything else that breaks: it is
a fault and says nothing about the data.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.counts import add_counts
from custody.database import batches as tables
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.database.quality import find_suite, keep_suite
from custody.errors import CustodyError, QualityGateError, Reason
from custody.gates import Counts, GateResult, GateSuite, judge
from custody.identifiers import BATCH, show_id
from custody.policy.model import CONSENTS
from custody.quality.rules import INGEST, ROWS, checks_of, row_counts_of, suite_of

STORE: Final = "store"
TRANSFER: Final = "transfer"
DESTROY: Final = "destroy"
_DUPLICATE: Final = "duplicate_in_batch"


class GateFailedError(CustodyError):
    """A stage's own check failed, so its transaction goes back; people see a QualityGateError.

    Attributes:
        result: What the suite said.
        about: What it is about: its name in the ledger's facts, and how it is shown.
    """

    code: ClassVar[str] = "quality_gate"

    def __init__(self, result: GateResult, about: Mapping[str, str]) -> None:
        """Keep what the ledger is to say."""
        super().__init__(result, about)
        self.result, self.about = result, about


def record_result(
    connection: Connection,
    custody: Custody,
    actor: Actor,
    about: Mapping[str, str],
    result: GateResult,
) -> None:
    """Append what a suite said of something, and keep the suite."""
    keep_suite(connection, result.suite)
    facts = {**about, **result.facts()}
    record(connection, custody, actor, f"quality:{result.suite.stage}:judged", facts)


def require_passed(result: GateResult, about: Mapping[str, str]) -> None:
    """Check that nothing failed.

    Args:
        result: What the suite said.
        about: What it is about: its name in the ledger's facts, and how it is shown.

    Raises:
        GateFailedError: A check failed; :func:`recording_failure` is around this.
    """
    if result.verdict == "failed":
        raise GateFailedError(result, about)


@contextmanager
def recording_failure(custody: Custody, actor: Actor) -> Iterator[None]:
    """Record that a gate failed once what it was about is undone.

    Raises:
        QualityGateError: It failed; each check that did is named with how many it concerns.
    """
    try:
        yield
    except GateFailedError as error:
        with transaction(custody.data) as connection:
            record_result(connection, custody, actor, error.about, error.result)
        refusal = _refusal(error.result, error.about)
    else:
        return
    raise refusal


def _refusal(result: GateResult, about: Mapping[str, str]) -> QualityGateError:
    """Return each check that failed as a reason: its code, its name, and how many failed."""
    reasons = tuple(
        Reason(code=one.check.code, about=one.check.name, count=one.failed) for one in result.failed
    )
    return QualityGateError(next(iter(about.values())), reasons)


def close_gate(
    connection: Connection,
    custody: Custody,
    actor: Actor,
    batch: Batch,
    receipts: Sequence[ChunkReceipt],
) -> bool:
    """Judge a batch at the end of its ingest, record it, and return whether it may be stored.

    Chunks that were taken in under different policies are judged each by the suite of its own.
    Consents took effect row by row: of those the result is told and nothing is stopped.
    """
    results = []
    rows = sum(one.read + one.unchanged for one in receipts)
    for digest in sorted({str(one.quality.get("suite", "")) for one in receipts}):
        suite = find_suite(connection, digest)
        if suite is not None:
            of_suite = [one for one in receipts if one.quality.get("suite") == digest]
            counts = _counts_at_ingest(suite, suite, of_suite, rows)
            results.append(judge(suite, counts))
    about = {"batch": show_id(BATCH, batch.id)}
    for result in results:
        record_result(connection, custody, actor, about, result)
    passed = all(result.verdict != "failed" for result in results)
    return passed or batch.dataset == CONSENTS


def pass_gate(custody: Custody, actor: Actor, batch_id: UUID) -> None:
    """Let a batch that was stopped at its gate be stored if today's policy lets it pass.

    Raises:
        QualityGateError: It is stopped and does not pass; it waits, and nothing is lost.
    """
    with transaction(custody.data) as connection:
        batch = tables.lock_batch(connection, batch_id)
        if batch.state != "stopped":
            return
        result = judged_today(connection, custody, batch, tables.list_chunks(connection, batch_id))
        about = {"batch": show_id(BATCH, batch_id)}
        if result.verdict == "failed":
            raise _refusal(result, about)
        tables.set_batch_state(connection, batch_id, "ingested")
        record_result(connection, custody, actor, about, result)


def judged_today(
    connection: Connection, custody: Custody, batch: Batch, receipts: Sequence[ChunkReceipt]
) -> GateResult:
    """Return what the policy of today says of what was counted when the batch was taken in."""
    suite = ingest_suite(custody, batch)
    rows = sum(one.read + one.unchanged for one in receipts)
    counts: dict[str, tuple[int, int]] = {}
    for digest in sorted({str(one.quality.get("suite", "")) for one in receipts}):
        asked = find_suite(connection, digest) or suite
        of_suite = [one for one in receipts if one.quality.get("suite", "") == digest]
        for name, (checked, failed) in _counts_at_ingest(suite, asked, of_suite, rows).items():
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + checked, before[1] + failed)
    return judge(suite, counts)


def ingest_suite(custody: Custody, batch: Batch) -> GateSuite:
    """Return what the policy of today asks of a batch of records."""
    dataset = custody.policy.dataset(batch.dataset)
    suites = custody.policy.suites_of(batch.dataset)
    scope = custody.policy.scope(batch.purpose, batch.dataset)
    checks = checks_of(dataset, scope, custody.policy.gate(INGEST), suites)
    return suite_of(batch.dataset, checks, row_counts_of(suites))


def _counts_at_ingest(
    wanted: GateSuite, asked: GateSuite, receipts: Iterable[ChunkReceipt], rows: int
) -> Counts:
    """Return the counts of chunks together, by the names of the checks that made them.

    What repeats a record key of another chunk is found at the end only, so it is counted by the
    rows that were refused for it. How many rows there are the end says too.
    """
    receipts = list(receipts)
    found: dict[str, tuple[int, int]] = {}
    for place, check in enumerate(one for one in asked.checks if one.kind != "rows"):
        pairs = [_pair(one, INGEST, place) for one in receipts]
        found[check.name] = (sum(c for c, _ in pairs), sum(f for _, f in pairs))
        if check.code == _DUPLICATE:
            reasons = add_counts(*(one.reasons for one in receipts))
            found[check.name] = (found[check.name][0], reasons.get(_DUPLICATE, 0))
    for check in wanted.checks:
        if check.code == ROWS:
            least, most = check.asked.get("at_least", 0), check.asked.get("at_most", rows)
            found[check.name] = (1, int(not int(str(least)) <= rows <= int(str(most))))
    return found


def stored_counts(suite: GateSuite, receipts: Iterable[ChunkReceipt]) -> Counts:
    """Return what the checks of store counted in the chunks of a batch together."""
    receipts = list(receipts)
    found = {}
    for place, check in enumerate(suite.checks):
        pairs = [_pair(one, STORE, place) for one in receipts]
        found[check.name] = (sum(c for c, _ in pairs), sum(f for _, f in pairs))
    return found


def _pair(receipt: ChunkReceipt, stage: str, place: int) -> tuple[int, int]:
    counted = receipt.quality.get(stage, [])
    return tuple(counted[place]) if place < len(counted) else (0, 0)
