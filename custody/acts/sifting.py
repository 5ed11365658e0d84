"""Which rows may still go: what was withdrawn, erased, corrected or has fallen due is left out.

One row is left out under one code, so that `delivered = approved - accounted` adds up. The caller
holds the customers' locks where the answer must stay true until it acts (threats T14).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.approval import TRANSFER, Ask, Request
from custody.consent import (
    PURPOSE,
    SENSITIVE,
    Consent,
    Processing,
    is_given,
    recipient_reasons,
)
from custody.counts import count_codes
from custody.database.consents import consents_of
from custody.database.requests import PresentRow
from custody.policy.model import Level
from custody.retention import is_due

_CUSTOMERS_AT_ONCE = 5000
_FIRST = ("consent_withdrawn", "recipient_consent_missing", "consent_missing")


def sift(
    connection: Connection,
    custody: Custody,
    request: Request | Ask,
    rows: Sequence[PresentRow],
    *,
    corrected_too: bool = False,
) -> tuple[list[PresentRow], dict[str, int]]:
    """Return the rows that may go, and how many may not, by code.

    1. Erased since: `record_erased`. 2. Another version than the frozen one: `record_corrected`.
    3. Due: it is only stored and protected until it is destroyed (PIPL art. 47), hold or not.
    4. Where consent is the basis: it does not carry this, or no longer (art. 15, 23, 29).

    With ``corrected_too`` corrected records pass: a grant covers the record, a package its version.
    """
    refused = _without_consent(connection, custody, request, {row.customer_id for row in rows})
    codes = [_code(custody, row, refused, corrected_too=corrected_too) for row in rows]
    kept = [row for row, code in zip(rows, codes, strict=True) if code is None]
    return kept, count_codes([code] for code in codes if code is not None)


def _code(
    custody: Custody, row: PresentRow, refused: Mapping[UUID, str], *, corrected_too: bool
) -> str | None:
    if row.present_version is None:
        return "record_erased"
    if row.present_version != row.version and not corrected_too:
        return "record_corrected"
    if is_due(row.ends_on, custody.today()):
        return "retention_already_over"
    return refused.get(row.customer_id)


def _without_consent(
    connection: Connection, custody: Custody, request: Request | Ask, customers: Iterable[UUID]
) -> dict[UUID, str]:
    """Return the customers whose consents do not carry the request, each with the first code."""
    purpose = custody.policy.purposes.get(request.purpose)
    if purpose is None or not purpose.needs_consent:
        return {}
    wanted = sorted(customers)
    refused = {}
    for start in range(0, len(wanted), _CUSTOMERS_AT_ONCE):
        some = wanted[start : start + _CUSTOMERS_AT_ONCE]
        consents = consents_of(connection, some)
        for customer in some:
            codes = _consent_codes(custody, request, consents.get(customer, []))
            if codes:
                refused[customer] = min(codes, key=_weight)
    return refused


def _consent_codes(
    custody: Custody, request: Request | Ask, consents: Sequence[Consent]
) -> tuple[str, ...]:
    """Return why these consents do not carry a use or a transfer.

    The evidence of a consent to the purpose was judged when its data came in; for a use it must
    still be in force. A transfer needs one of its own that names the recipient.
    """
    at = custody.now()
    if request.kind == TRANSFER:
        processing = Processing(
            purpose=request.purpose,
            dataset=request.dataset,
            fields=frozenset(request.fields),
            sensitive=False,
            under_14=False,
            collected_at=None,
            at=at,
        )
        notices = dict(custody.policy.notices)
        return recipient_reasons(consents, request.recipient, processing, notices)
    kinds = [PURPOSE, SENSITIVE] if _shows_sensitive(custody, request) else [PURPOSE]
    return tuple(code for kind in kinds for code in _use_codes(consents, request.purpose, kind, at))


def _use_codes(consents: Sequence[Consent], purpose: str, kind: str, at: datetime) -> Iterable[str]:
    if not any((one.purpose, one.kind) == (purpose, kind) for one in consents):
        yield "consent_missing" if kind == PURPOSE else "separate_consent_missing"
    elif not is_given(consents, purpose, kind, at):
        yield "consent_withdrawn"


def _shows_sensitive(custody: Custody, request: Request | Ask) -> bool:
    purpose = custody.policy.purpose(request.purpose)
    dataset = custody.policy.dataset(request.dataset)
    needs_separate = SENSITIVE in purpose.consent_kinds
    return needs_separate and any(
        dataset.field(name).level is not Level.GENERAL for name in request.fields
    )


def _weight(code: str) -> tuple[int, str]:
    return (_FIRST.index(code) if code in _FIRST else len(_FIRST), code)
