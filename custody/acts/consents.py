"""Consents: recorded as facts with their evidence, from files or one by one, and withdrawn.

What a consent is worth is not decided here but when somebody relies on it
(:mod:`custody.consent`), so a defective one is kept too: it is evidence (PIPL art. 69). Recording
one makes its subject known.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.batches import facts_of, single_batch_value
from custody.acts.claiming import written_meanwhile
from custody.acts.consent_rows import (
    ConsentDraft,
    ConsentRow,
    DraftKeys,
    draft_consents,
    instant_of,
    keys_for,
    sound_values,
)
from custody.acts.context import Actor, Custody
from custody.acts.gates import RETRIED
from custody.acts.intake_area import RefusedRow, hold_rows
from custody.acts.recording import record
from custody.acts.redoing import again_if_changed
from custody.acts.subjects import (
    ChangedMeanwhileError,
    find_subject,
    lift_suppressions,
    write_learnt,
)
from custody.consent import Consent, document_context
from custody.counts import count_codes
from custody.database import batches as tables
from custody.database import consents as consent_tables
from custody.database import customers
from custody.database.batches import Batch, ChunkReceipt
from custody.database.consents import NewConsent
from custody.database.engine import transaction
from custody.database.quality import keep_suite
from custody.errors import QualityGateError, Reason, RefusedError
from custody.identifiers import CUSTOMER, show_id, time_ordered_id
from custody.intake import IntakeRow
from custody.normalise import normalise_rows
from custody.record import Value, encode_payload, to_payload
from custody.rows import Chunk, RawRow
from custody.seal import DataKey, seal
from custody.sources.consents import consents_dataset
from custody.steps import reached

_SEALED: Final = ("guardian_name", "evidence_ref")


def ingest_consents(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    chunk: Chunk,
    *,
    within: Callable[[Connection], None] | None = None,
) -> ChunkReceipt:
    """Record a chunk of consents; one that was recorded already is left as it is.

    Args:
        within: What else belongs to the same transaction, done first.
    """
    return again_if_changed(lambda: _ingest_once(custody, actor, batch, chunk, within))


def examine_consents(custody: Custody, batch: Batch, chunk: Chunk) -> ChunkReceipt:
    """Return what :func:`ingest_consents` would do, and write nothing."""

    def examined() -> ConsentDraft:
        with transaction(custody.data) as connection:
            return draft_consents(custody, connection, batch, chunk)

    return _receipt(batch, chunk, again_if_changed(examined))


def record_consent(
    custody: Custody, actor: Actor, namespace: str, facts: Mapping[str, str]
) -> UUID:
    """Record one consent from its facts and return whose it is.

    Args:
        namespace: Within which customer numbers are unique.
        facts: The fields of the consents dataset, as text.

    Raises:
        QualityGateError: The facts are incomplete or malformed, or contradict what is known.
    """
    batch = single_batch_value(custody, namespace)
    chunk = Chunk(number=0, rows=(RawRow(number=1, values=facts),))
    return again_if_changed(lambda: _record_once(custody, actor, batch, chunk))


def withdraw_consent(
    custody: Custody, actor: Actor, customer_id: UUID, purpose: str, recipient: str = ""
) -> int:
    """Withdraw a customer's consents to a purpose, or to one recipient, and return how many.

    Withdrawing is as easy as giving (art. 15): nothing but the purpose is asked for. What rests on
    the consent is due for destruction from now on.

    Raises:
        RefusedError: There is no such customer, or nothing to withdraw.
    """
    custody.policy.purpose(purpose)
    with transaction(custody.data) as connection:
        customers.lock_customers(connection, [customer_id])
        count = consent_tables.withdraw_consents(
            connection, customer_id, purpose, recipient, custody.now()
        )
        if count == 0:
            reasons = (Reason(code="consent_missing", about=purpose),)
            raise RefusedError(show_id(CUSTOMER, customer_id), reasons)
        facts = {"purpose": purpose, "recipient": recipient, "consents": count}
        record(connection, custody, actor, "consent:subject:withdrawn", facts)
    reached("consent:withdrawn")
    return count


def show_consents(custody: Custody, customer_id: UUID) -> list[Consent]:
    """Return a customer's consents, oldest first."""
    with transaction(custody.data) as connection:
        return list(consent_tables.consents_of(connection, [customer_id]).get(customer_id, ()))


def _ingest_once(
    custody: Custody,
    actor: Actor,
    batch: Batch,
    chunk: Chunk,
    within: Callable[[Connection], None] | None,
) -> ChunkReceipt:
    with transaction(custody.data) as connection:
        known = tables.find_chunk(connection, batch.id, chunk.number)
        if known is not None:
            return known
        draft = draft_consents(custody, connection, batch, chunk)
    keys = keys_for(custody, draft)
    reached("consents:keys-written")
    receipt = _receipt(batch, chunk, draft)
    with transaction(custody.data) as connection:
        known = written_meanwhile(connection, batch.id, chunk.number)
        if known is not None:
            return known
        if within is not None:
            within(connection)
            receipt = replace(receipt, quality={**receipt.quality, RETRIED: 1})
        _write(custody, connection, batch, draft, keys)
        refused = [_refused(custody, row) for row in draft.refused]
        hold_rows(custody, connection, batch.id, chunk.number, "ingest", refused)
        keep_suite(connection, draft.verdict.suite)
        tables.save_chunk(connection, receipt)
        record(connection, custody, actor, "chunk:consents:recorded", facts_of(batch, receipt))
    reached("consents:chunk-written")
    return receipt


def _record_once(custody: Custody, actor: Actor, batch: Batch, chunk: Chunk) -> UUID:
    with transaction(custody.data) as connection:
        draft = draft_consents(custody, connection, batch, chunk)
    if draft.refused:
        codes = sorted(draft.refused[0].codes)
        raise QualityGateError("consent", tuple(Reason(code=code) for code in codes))
    keys = keys_for(custody, draft)
    with transaction(custody.data) as connection:
        _write(custody, connection, batch, draft, keys)
        for row, customer in draft.accepted:
            facts = {"purpose": str(row.values["purpose"]), "kind": str(row.values["kind"])}
            record(connection, custody, actor, "consent:subject:recorded", facts)
            return customer
    return _known_customer(custody, batch, chunk)


def _known_customer(custody: Custody, batch: Batch, chunk: Chunk) -> UUID:
    """Return whose consent it is that was recorded before."""
    dataset = consents_dataset(custody.policy)
    row = normalise_rows(dataset, chunk.rows, custody.zone)[0]
    with transaction(custody.data) as connection:
        found = find_subject(custody, connection, dataset, batch.namespace, sound_values(row))
    if found is None:
        raise ChangedMeanwhileError
    return found


def _write(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    draft: ConsentDraft,
    keys: DraftKeys,
) -> None:
    concerned = {customer for _, customer in draft.accepted} - draft.new_customers
    locked = customers.lock_customers(connection, concerned)
    if any(state != "active" for _, state in locked.values()):
        raise ChangedMeanwhileError
    customers.add_customers(connection, draft.new_customers, custody.now())
    write_learnt(custody, connection, draft.directory, keys.references)
    lift_suppressions(connection, draft.directory)
    new = [
        _consent(custody, batch, row, customer, keys.evidence) for row, customer in draft.accepted
    ]
    if new:
        consent_tables.add_consents(connection, new)


def _consent(
    custody: Custody, batch: Batch, row: ConsentRow, customer: UUID, keys: Mapping[UUID, DataKey]
) -> NewConsent:
    consent_id = time_ordered_id(custody.now())
    return NewConsent(
        consent_id=consent_id,
        customer_id=customer,
        facts=_facts(row.values),
        document=_document(custody, keys[customer], row.values, consent_id, customer),
        row_tag=row.row_tag,
        batch_id=batch.id if batch.source else None,
        recorded_at=custody.now(),
    )


def _facts(values: Mapping[str, Value]) -> Consent:
    return Consent(
        purpose=_text(values, "purpose"),
        kind=_text(values, "kind"),
        recipient=_text(values, "recipient"),
        given_at=instant_of(values["given_at"]),
        withdrawn_at=_instant_or_none(values.get("withdrawn_at")),
        notice_version=_text(values, "notice_version"),
        notice_shown_at=_instant_or_none(values.get("notice_shown_at")),
        control_id=_text(values, "control_id"),
        control_initial=_text(values, "control_initial"),
        text_digest=_text(values, "signed_text_digest"),
        act=_text(values, "act"),
    )


def _text(values: Mapping[str, Value], name: str) -> str:
    return str(values.get(name, ""))


def _instant_or_none(value: Value | None) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _document(
    custody: Custody, key: DataKey, values: Mapping[str, Value], consent_id: UUID, customer: UUID
) -> bytes | None:
    """Return guardian and evidence reference under the customer's consent key."""
    dataset = consents_dataset(custody.policy)
    told = {name: values[name] for name in _SEALED if name in values}
    if not told:
        return None
    context = document_context(custody.installation_id, customer, consent_id)
    return seal(key, encode_payload(to_payload(dataset, told)), context, custody.suite)


def _refused(custody: Custody, row: ConsentRow) -> RefusedRow:
    dataset = consents_dataset(custody.policy)
    values = to_payload(dataset, row.values)
    kept = IntakeRow(number=row.number, values=values, content_tag=row.row_tag)
    keep_values = "subject_suppressed" not in row.codes
    return RefusedRow(row=kept, codes=row.codes, keep_values=keep_values)


def _receipt(batch: Batch, chunk: Chunk, draft: ConsentDraft) -> ChunkReceipt:
    return ChunkReceipt(
        batch_id=batch.id,
        chunk=chunk.number,
        state="stored",
        read=len(draft.accepted) + len(draft.refused),
        accepted=len(draft.accepted),
        refused=len(draft.refused),
        unchanged=draft.unchanged,
        stored=len(draft.accepted),
        reasons=count_codes(row.codes for row in draft.refused),
        quality=draft.verdict.receipt(),
    )
