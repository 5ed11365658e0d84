"""The rows of a source of consents, drafted: what each says, whose it is, what is wrong with it.

Whether a consent carries anything is not asked here; only whether the row can be understood, names
known purposes and recipients, and leads to one person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.subjects import (
    ChangedMeanwhileError,
    epochs_of,
    generations_of,
    kinds_of,
    read_directory,
    references_of,
)
from custody.database import consents as consent_tables
from custody.database import customers
from custody.database.batches import Batch
from custody.errors import QualityGateError, Reason
from custody.identifiers import random_id
from custody.identity import Directory, IdentityConflictError, Kind, Reference
from custody.normalise import NormalisedRow, normalise_rows
from custody.policy.model import Dataset, Retention, Scope
from custody.quality import Verdict, check_chunk
from custody.record import Value, encode_payload, to_payload
from custody.rows import Chunk
from custody.seal import DataKey
from custody.sources.consents import consents_dataset

_REQUIRED: Final = frozenset({"purpose", "kind", "given_at"})
_KEPT: Final = Retention(period="P3Y", basis="P69", start_event="consent_ended")
_NOBODY: Final = frozenset({"required_missing"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentRow:
    """One consent on its way in."""

    number: int
    values: Mapping[str, Value] = field(repr=False)
    references: Sequence[Reference]
    row_tag: bytes
    codes: frozenset[str]
    customer_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentDraft:
    """What becomes of a chunk of consents."""

    accepted: tuple[tuple[ConsentRow, UUID], ...]
    refused: tuple[ConsentRow, ...]
    unchanged: int
    directory: Directory
    new_customers: frozenset[UUID]
    generations: Mapping[UUID, int]
    verdict: Verdict

    def keys_wanted(self) -> dict[tuple[UUID, str], int]:
        """Return the generation of each customer whose references are to be sealed."""
        return self.directory.keys_wanted(self.generations)


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftKeys:
    """The keys a draft needs: of each customer's evidence, and of the references it brought."""

    evidence: Mapping[UUID, DataKey]
    references: Mapping[tuple[UUID, str], DataKey]


def keys_for(custody: Custody, draft: ConsentDraft) -> DraftKeys:
    """Return the keys a draft needs, making those that are missing."""
    return DraftKeys(
        evidence=custody.keyring.consents.keys({customer for _, customer in draft.accepted}),
        references=custody.keyring.data_keys(draft.keys_wanted(), custody.now()),
    )


def consent_scope(dataset: Dataset) -> Scope:
    """Return what a row of consents must and may say."""
    return Scope(required=_REQUIRED, optional=dataset.field_names - _REQUIRED, retention=_KEPT)


def draft_consents(
    custody: Custody, connection: Connection, batch: Batch, chunk: Chunk
) -> ConsentDraft:
    """Draft a chunk of consents from the database as it is now."""
    dataset = consents_dataset(custody.policy)
    normalised = normalise_rows(dataset, chunk.rows, custody.zone)
    scope = consent_scope(dataset)
    verdict = check_chunk(custody.policy, dataset, scope, normalised, today=custody.today())
    epochs = epochs_of(custody, connection)
    kinds = kinds_of(custody, epochs, dataset, batch.namespace)
    rows = [_row(custody, dataset, batch, kinds, one, verdict) for one in normalised]
    known = consent_tables.known_rows(connection, {row.row_tag for row in rows})
    fresh = list({row.row_tag: row for row in rows if row.row_tag not in known}.values())
    directory = read_directory(connection, epochs, [row.references for row in fresh])
    tags = {one.suppression_tag for row in fresh for one in row.references}
    erased = customers.suppressed(connection, tags, custody.today())
    new_customers: set[UUID] = set()
    placed = [_place(row, directory, new_customers, erased) for row in fresh]
    accepted = [(row, row.customer_id) for row in placed if row.customer_id is not None]
    concerned = {customer for _, customer in accepted} - new_customers
    generations = generations_of(connection, concerned)
    if len(generations) != len(concerned):
        raise ChangedMeanwhileError
    return ConsentDraft(
        accepted=tuple(accepted),
        refused=tuple(row for row in placed if row.customer_id is None),
        unchanged=len(rows) - len(fresh),
        directory=directory,
        new_customers=frozenset(new_customers),
        generations=generations,
        verdict=verdict,
    )


def _row(
    custody: Custody,
    dataset: Dataset,
    batch: Batch,
    kinds: Sequence[tuple[str, Kind]],
    row: NormalisedRow,
    verdict: Verdict,
) -> ConsentRow:
    values = sound_values(row)
    references = references_of(kinds, values)
    codes = set(verdict.blocking.get(row.number, frozenset()))
    if not row.row_problems:
        codes |= _against_names(custody, values) | (frozenset() if references else _NOBODY)
    tags = custody.keyring.tags
    content = encode_payload(to_payload(dataset, values))
    return ConsentRow(
        number=row.number,
        values=values,
        references=references,
        row_tag=tags.content(b"consent", batch.namespace.encode(), content),
        codes=frozenset(codes),
    )


def sound_values(row: NormalisedRow) -> dict[str, Value]:
    """Return the fields of a row that could be read."""
    return {n: v for n, v in row.values.items() if v is not None and n not in row.problems}


def _against_names(custody: Custody, values: Mapping[str, Value]) -> set[str]:
    """Return the code for a purpose or recipient that the policy does not know."""
    purpose, recipient = values.get("purpose"), values.get("recipient")
    unknown = purpose is not None and purpose not in custody.policy.purposes
    unknown |= recipient is not None and recipient not in custody.policy.recipients
    codes = {"value_not_allowed"} if unknown else set()
    if values.get("kind") == "recipient" and recipient is None:
        codes.add("required_missing")
    return codes


def _place(
    row: ConsentRow,
    directory: Directory,
    new_customers: set[UUID],
    erased: Mapping[bytes, datetime],
) -> ConsentRow:
    """Return the row with whose it is; nobody where it is refused.

    Whoever was erased returns only under a consent given afterwards (threats T32).
    """
    if row.codes:
        return row
    try:
        customer = directory.find(row.references)
    except IdentityConflictError:
        return replace(row, codes=frozenset({"identity_conflict"}))
    if customer is None:
        tags = [reference.suppression_tag for reference in row.references]
        erasures = [erased[tag] for tag in tags if tag in erased]
        if erasures and instant_of(row.values["given_at"]) <= max(erasures):
            return replace(row, codes=frozenset({"subject_suppressed"}))
        customer = random_id()
        new_customers.add(customer)
    directory.learn(customer, row.references)
    return replace(row, customer_id=customer)


def instant_of(value: Value) -> datetime:
    """Return the instant a row's field holds.

    Raises:
        QualityGateError: It holds something else; the quality gate lets no such row through.
    """
    if not isinstance(value, datetime):
        raise QualityGateError("consent", (Reason(code="type_invalid", about="given_at"),))
    return value
