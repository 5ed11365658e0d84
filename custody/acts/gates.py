"""Quality as a control: each stage's result in the ledger, and nothing past a gate that failed.

Ingest counts as its chunks come in and judges at the end of the batch. Store, transfer and destroy
judge within the transaction of the act, so what fails is not done; that it failed is then recorded
in a transaction of its own. A check that could not run raises like anything else that breaks: it is
a fault and says nothing about the data.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.canonical import canonical
from custody.counts import add_counts
from custody.database import batches as tables
from custody.database.batches import Batch, ChunkReceipt
from custody.database.engine import transaction
from custody.database.quality import find_suite, keep_suite
from custody.errors import CustodyError, QualityGateError, Reason
from custody.gates import Counts, GateCheck, GateResult, GateSuite, judge
from custody.identifiers import BATCH, show_id
from custody.policy.model import CONSENTS
from custody.quality import QualityFaultError
from custody.quality.asked import INGEST, ROWS, asked_at_ingest

STORE: Final = "store"
TRANSFER: Final = "transfer"
DESTROY: Final = "destroy"
RETRIED: Final = "retried"
"""What the receipt of a chunk says whose rows came back from quarantine."""
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
) -> str:
    """Append what a suite said of something, keep the suite, and return the result's digest."""
    keep_suite(connection, result.suite)
    facts = result.facts(about)
    record(connection, custody, actor, f"quality:{result.suite.stage}:judged", facts)
    return str(facts["digest"])


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

    Chunks that were taken in under different policies are judged each by the suite of its own. What
    a batch brought is judged once: rows that come again from quarantine were counted when they
    came first, and a batch that passed stays past its gate. Consents took effect row by row: of
    those the result is told and nothing is stopped.

    Raises:
        QualityFaultError: A suite by which chunks were judged is not kept.
    """
    came = _as_it_came(receipts)
    has_passed = any(one.state == "stored" for one in came) and len(came) < len(receipts)
    if has_passed:
        return True
    about = {"batch": show_id(BATCH, batch.id)}
    rows = _rows_of(receipts)
    results = [_judged(suite, came, rows) for suite in _suites_of(connection, batch, came)]
    for result in results:
        record_result(connection, custody, actor, about, result)
    passed = all(result.verdict != "failed" for result in results)
    return passed or batch.dataset == CONSENTS


def pass_gate(custody: Custody, actor: Actor, batch_id: UUID) -> None:
    """Let a batch that was stopped at its gate be stored if today's policy lets it pass.

    What was counted when it came in is judged again, by the same questions; how much of each is let
    pass, today's policy says, where it still asks the same. To a question that it asks otherwise,
    or no more, what was let pass then holds.

    Raises:
        QualityGateError: It is stopped and does not pass; it waits, and nothing is lost.
        QualityFaultError: A suite by which chunks were judged is not kept.
    """
    with transaction(custody.data) as connection:
        batch = tables.lock_batch(connection, batch_id)
        if batch.state != "stopped":
            return
        receipts = tables.list_chunks(connection, batch_id)
        came = _as_it_came(receipts)
        about = {"batch": show_id(BATCH, batch_id)}
        today = _today(custody, batch)
        results = []
        for asked in _suites_of(connection, batch, came):
            checks = tuple(today.get(_question(check), check) for check in asked.checks)
            results.append(_judged(replace(asked, checks=checks), came, _rows_of(receipts), asked))
        for result in results:
            if result.verdict == "failed":
                raise _refusal(result, about)
        tables.set_batch_state(connection, batch_id, "ingested")
        for result in results:
            record_result(connection, custody, actor, about, result)


def _as_it_came(receipts: Iterable[ChunkReceipt]) -> list[ChunkReceipt]:
    """Return the chunks of a batch's source, without those of rows that came again."""
    return [one for one in receipts if not one.quality.get(RETRIED)]


def _suites_of(
    connection: Connection, batch: Batch, receipts: Sequence[ChunkReceipt]
) -> list[GateSuite]:
    """Return the suites by which chunks of a batch were judged."""
    suites = []
    for digest in sorted({str(one.quality.get("suite", "")) for one in receipts}):
        suite = find_suite(connection, digest)
        if suite is None:
            raise QualityFaultError(batch.dataset, "suite")
        suites.append(suite)
    return suites


def _today(custody: Custody, batch: Batch) -> dict[bytes, GateCheck]:
    """Return what today's policy asks of a batch's dataset, by the questions; maybe nothing."""
    policy = custody.policy
    purpose, dataset = policy.purposes.get(batch.purpose), policy.datasets.get(batch.dataset)
    if purpose is None or dataset is None or batch.dataset not in purpose.scopes:
        return {}
    _, asked = asked_at_ingest(policy, dataset, purpose.scopes[batch.dataset])
    return {_question(check): check for check in asked.checks}


def _question(check: GateCheck) -> bytes:
    """Return what makes two checks the same question; how many rows there are always is one."""
    asked = {} if check.code == ROWS else dict(check.asked)
    return canonical({"name": check.name, "kind": check.kind, "asked": asked})


def _rows_of(receipts: Iterable[ChunkReceipt]) -> int:
    return sum(one.read + one.unchanged for one in receipts)


def _judged(
    suite: GateSuite,
    receipts: Sequence[ChunkReceipt],
    rows: int,
    asked: GateSuite | None = None,
) -> GateResult:
    """Judge the chunks that were judged by a suite.

    What repeats a record key of another chunk is found at the end only, so it is counted by the
    rows that were refused for it. How many rows there are the end says too.

    Args:
        suite: By what they are judged now.
        receipts: Those of all chunks of the batch that came from its source.
        rows: How many rows the batch has.
        asked: By what they were, if something else: the same checks, other shares let pass.
    """
    digest = (asked or suite).digest
    own = [one for one in receipts if one.quality.get("suite") == digest]
    counts = _summed(INGEST, suite, own)
    for check in suite.checks:
        if check.code == _DUPLICATE:
            refused = add_counts(*(one.reasons for one in own)).get(_DUPLICATE, 0)
            counts[check.name] = (counts[check.name][0], refused)
        elif check.code == ROWS:
            least, most = check.asked.get("at_least", 0), check.asked.get("at_most", rows)
            counts[check.name] = (1, int(not int(str(least)) <= rows <= int(str(most))))
    return judge(suite, counts, rows)


def stored_counts(suite: GateSuite, receipts: Iterable[ChunkReceipt]) -> Counts:
    """Return what the checks of store counted in the chunks of a batch together."""
    return _summed(STORE, suite, list(receipts))


def _summed(
    stage: str, suite: GateSuite, receipts: Sequence[ChunkReceipt]
) -> dict[str, tuple[int, int]]:
    """Return the counts of chunks together, by the names of the checks, which have their order."""
    found = {}
    for place, check in enumerate(suite.checks):
        pairs = [one.quality[stage][place] for one in receipts if place < _known(one, stage)]
        found[check.name] = (sum(c for c, _ in pairs), sum(f for _, f in pairs))
    return found


def _known(receipt: ChunkReceipt, stage: str) -> int:
    """Return how many checks of a stage a chunk has counts of; some come at the end alone."""
    return len(receipt.quality.get(stage, ()))
