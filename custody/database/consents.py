"""Statements on consents: facts in clear under the customer's id, the document sealed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from custody.consent import Consent
from custody.database.blobs import Blobs, Uuids
from custody.database.copying import fetch

_FACTS: Final = (
    "purpose, kind, recipient, given_at, withdrawn_at, notice_version,"
    " notice_shown_at, control_id, control_initial, text_digest, act"
)
# An update of a row gives it another xmin, so this changes with whatever changes.
_ROW_MARK: Final = "hashint8(c.xmin::text::bigint)"
# A customer by its place in the list: an identifier a row would cost more than all the rest. Looked
# up one after the other: a join reads everybody's consents, and sorts what it found on disk.
_OF: Final = (
    f"SELECT w.place, c.* FROM unnest(%(customers)s) WITH ORDINALITY w (id, place) CROSS JOIN LATERAL"  # noqa: S608, E501
    f" (SELECT {_ROW_MARK}, {_FACTS} FROM consents c WHERE c.customer_id = w.id"
    " ORDER BY c.given_at, c.id) c"
)
_MARK = text(
    f"SELECT count(*) AS consents, coalesce(sum({_ROW_MARK}::bigint), 0)::bigint AS total"  # noqa: S608
    " FROM consents c WHERE customer_id = ANY(:customers)"
)
_ADD = text(
    f"INSERT INTO consents (id, customer_id, {_FACTS}, document, row_tag, batch_id, recorded_at)"  # noqa: S608
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


class ConsentsMark(NamedTuple):
    """How many consents some customers have, and the sum of the marks of their rows."""

    consents: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Consents:
    """The consents of some customers.

    Attributes:
        given: Each customer's, oldest first.
        marks: The sum of the marks of the rows of each.
    """

    given: Mapping[UUID, Sequence[Consent]]
    marks: Mapping[UUID, int]

    def mark_of(self, customers: Collection[UUID]) -> ConsentsMark:
        """Return the mark of some of the customers."""
        return ConsentsMark(
            sum(len(self.given.get(one, ())) for one in customers),
            sum(self.marks.get(one, 0) for one in customers),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NewConsent:
    """A consent to be recorded: its facts, its sealed document and the tag of its row."""

    consent_id: UUID
    customer_id: UUID
    facts: Consent
    document: bytes | None
    row_tag: bytes
    batch_id: UUID | None
    recorded_at: datetime


def consents_of(
    connection: Connection, customers: Iterable[UUID]
) -> Mapping[UUID, Sequence[Consent]]:
    """Return each customer's consents, oldest first; those without any are missing."""
    return read_consents(connection, customers).given


def read_consents(connection: Connection, customers: Iterable[UUID]) -> Consents:
    """Return the customers' consents, and what tells them from any other state of theirs."""
    wanted = Uuids(customers)
    given: dict[int, list[Consent]] = {}
    marks: dict[int, int] = {}
    for row in fetch(connection, _OF, {"customers": wanted}):
        place, consent = row[0], Consent(*row[2:])
        if place in given:
            given[place].append(consent)
            marks[place] += row[1]
        else:
            given[place], marks[place] = [consent], row[1]
    return Consents(
        given={wanted[place - 1]: some for place, some in given.items()},
        marks={wanted[place - 1]: mark for place, mark in marks.items()},
    )


def mark_of_consents(connection: Connection, customers: Iterable[UUID]) -> ConsentsMark:
    """Return what tells the customers' consents from any other state of theirs.

    Whoever finds the same mark later under the customers' locks has read what is still so.
    """
    row = connection.execute(_MARK, {"customers": Uuids(customers)}).one()
    return ConsentsMark(row.consents, row.total)


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
        "id": consent.consent_id,
        "customer_id": consent.customer_id,
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
