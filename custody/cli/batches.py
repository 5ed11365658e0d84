"""What is said of a batch, and how the flows that move one are run from here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from custody.cli.output import progress
from custody.cli.session import run_flow
from custody.errors import (
    CustodyError,
    QualityGateError,
    Reason,
    RefusedError,
)

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.database.batches import Batch, ChunkReceipt

Document = dict[str, object]
COUNTS = ("read", "accepted", "refused", "unchanged", "stored", "replaced")


def batch_document(custody: "Custody", shown: str) -> Document:
    """Return a batch with its counts and every reason for which rows of it were refused."""
    from custody.acts.batches import receipts_of, require_batch, total
    from custody.identifiers import BATCH, read_id

    batch = require_batch(custody, read_id(BATCH, shown))
    return described(batch, total(batch.id, receipts_of(custody, batch.id)))


def described(batch: "Batch", receipt: "ChunkReceipt") -> Document:
    """Return a batch and its receipt as a document."""
    from custody.identifiers import BATCH, show_id

    return {
        "batch": show_id(BATCH, batch.id),
        "source": batch.source,
        "dataset": batch.dataset,
        "purpose": batch.purpose,
        "state": batch.state,
        **{name: getattr(receipt, name) for name in COUNTS},
        "reasons": dict(receipt.reasons),
        "warnings": dict(receipt.warnings),
        "dropped": dict(receipt.dropped),
    }


def repeated(custody: "Custody", batch: "Batch") -> Document:
    """Return what ingesting a batch that is stored already comes to: nothing new."""
    from custody.acts.batches import receipts_of, total

    receipt = total(batch.id, receipts_of(custody, batch.id))
    rows = receipt.read + receipt.unchanged
    document = described(batch, receipt) | dict.fromkeys(COUNTS, 0)
    return {**document, "unchanged": rows, "reasons": {}, "warnings": {}, "dropped": {}}


def ingest_batch(custody: "Custody", batch: "Batch") -> None:
    """Run the flow that takes a batch in, from where it stands."""
    from flows.ingest import ingest

    parameters = {"source": batch.source, "batch_id": _shown(batch)}
    with progress(
        "ingesting", lambda: _chunks(custody, batch, {"ingested", "stored"}), batch.chunks
    ):
        run_flow(ingest, **parameters)


def store_batch(custody: "Custody", batch: "Batch") -> None:
    """Run the flow that stores an ingested batch."""
    from flows.store import store

    with progress("storing", lambda: _chunks(custody, batch, {"stored"}), batch.chunks):
        run_flow(store, batch_id=_shown(batch))


def require_gate_passed(custody: "Custody", batch: "Batch") -> None:
    """Check that a batch was not stopped at its gate; today's policy may let it pass by now.

    Raises:
        QualityGateError: It is stopped: more of its rows fail a check than is let pass.
    """
    from custody.acts.gates import pass_gate
    from custody.cli.session import os_user

    pass_gate(custody, os_user(), batch.id)


def require_something(document: Mapping[str, object]) -> None:
    """Check that a batch brought, or repeated, at least one row.

    Raises:
        QualityGateError: Every row was refused, and quality is among the reasons.
        RefusedError: Every row was refused for want of a lawful basis, or there was none.
    """
    if document["accepted"] or document["unchanged"]:
        return
    counts = document["reasons"]
    found = counts if isinstance(counts, Mapping) else {}
    reasons = tuple(Reason(code=code, count=count) for code, count in sorted(found.items()))
    raise _nothing_accepted(str(document["batch"]), reasons)


def _nothing_accepted(shown: str, reasons: tuple[Reason, ...]) -> CustodyError:
    from custody.codes import codes_of

    if any(reason.code in codes_of("quality") for reason in reasons):
        return QualityGateError(shown, reasons)
    return RefusedError(shown, reasons or (Reason(code="nothing_to_do"),))


def _shown(batch: "Batch") -> str:
    from custody.identifiers import BATCH, show_id

    return show_id(BATCH, batch.id)


def _chunks(custody: "Custody", batch: "Batch", states: set[str]) -> int:
    from custody.acts.batches import receipts_of

    return sum(receipt.state in states for receipt in receipts_of(custody, batch.id))
