"""Statements on consents: facts in clear under the customer's id, the document sealed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from custody.consent import Consent
from custody.database.blobs import Blobs

_FACTS = (
    "customer_id, purpose, kind, recipient, given_at, withdrawn_at, notice_version,"
    " notice_shown_at, control_id, control_initial, text_digest, act"
)
_OF = text(
    f"SELECT id AS consent_id, {_FACTS} FROM consents WHERE customer_id = ANY(:customers)"  # noqa: S608
    " ORDER BY given_at, id"
)
_ADD = text(
    f"INSERT INTO consents (id, {_FACTS}, document, row_tag, batch_id, recorded_at)"  # noqa: S608
    " VALUES (:id, :customer_id, :purpose, :kind, :recipient, :given_at, :withdrawn_at,"
    " :notice_version, :notice_shown_at, :control_id, :control_initial, :text_digest, :act,"
    " :document, :row_tag, :batch_id, :recorded_at) ON CONFLICT (row_tag) DO NOTHING"
)
_DOCUMENTS = text(
    "SELECT id, customer_id, document FROM consents WHERE document IS NOT NULL AND id > :after"
    " ORDER BY id LIMIT :most"
)
_KNOWN = text("SELECT row_tag FROM consents WHERE row_tag = ANY(:tags)")
_WITHDRAW = text(
    "UPDATE consents SET withdrawn_at = :at WHERE customer_id = :customer AND purpose = :purpose"
    " AND (withdrawn_at IS NULL OR withdrawn_at > :at)"
    " AND (CAST(:recipient AS text) = '' OR recipient = :recipient)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewConsent:
    """A consent to be recorded: its facts, its sealed document and the tag of its row."""

    facts: Consent
    document: bytes | None
    row_tag: bytes
    batch_id: UUID | None
    recorded_at: datetime


def consents_of(connection: Connection, customers: Iterable[UUID]) -> dict[UUID, list[Consent]]:
    """Return each customer's consents, oldest first; those without any are missing."""
    found: dict[UUID, list[Consent]] = {}
    for row in connection.execute(_OF, {"customers": list(customers)}):
        found.setdefault(row.customer_id, []).append(Consent(**row._mapping))
    return found


def documents_after(
    connection: Connection, after: UUID, most: int
) -> list[tuple[UUID, UUID, bytes]]:
    """Return up to ``most`` documents (consent, customer, seal) in order of the consents' ids."""
    rows = connection.execute(_DOCUMENTS, {"after": after, "most": most})
    return [(row.id, row.customer_id, row.document) for row in rows]


def known_rows(connection: Connection, tags: Iterable[bytes]) -> set[bytes]:
    """Return which of the row tags are recorded already."""
    return {bytes(tag) for tag in connection.execute(_KNOWN, {"tags": Blobs(tags)}).scalars()}


def add_consents(connection: Connection, consents: Sequence[NewConsent]) -> None:
    """Record consents; one whose row is recorded already stays as it is."""
    connection.execute(_ADD, [_parameters(consent) for consent in consents])


def withdraw_consents(
    connection: Connection, customer_id: UUID, purpose: str, recipient: str, at: datetime
) -> int:
    """Withdraw a customer's consents to a purpose (or to one recipient) and return how many."""
    row = {"customer": customer_id, "purpose": purpose, "recipient": recipient, "at": at}
    return connection.execute(_WITHDRAW, row).rowcount


def _parameters(consent: NewConsent) -> dict[str, object]:
    facts = consent.facts
    return {
        "id": facts.consent_id,
        "customer_id": facts.customer_id,
        "purpose": facts.purpose,
        "kind": facts.kind,
        "recipient": facts.recipient,
        "given_at": facts.given_at,
        "withdrawn_at": facts.withdrawn_at,
        "notice_version": facts.notice_version,
        "notice_shown_at": facts.notice_shown_at,
        "control_id": facts.control_id,
        "control_initial": facts.control_initial,
        "text_digest": facts.text_digest,
        "act": facts.act,
        "document": consent.document,
        "row_tag": consent.row_tag,
        "batch_id": consent.batch_id,
        "recorded_at": consent.recorded_at,
    }
