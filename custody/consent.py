"""Consent: whether the evidence of a consent carries a purpose, a recipient or a child's data.

A consent is judged by its evidence, never by a flag (rules H1.3a): what the control looked like
before it was touched, which text was signed, which act was done and when. What the evidence does
not say counts against it. The articles are those of the PIPL.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from custody.policy.model import Notice

PURPOSE: Final = "purpose"
SENSITIVE: Final = "sensitive"
RECIPIENT: Final = "recipient"
GUARDIAN: Final = "guardian"
# Without one of these nothing of the purpose may go on.
CARRYING: Final = (PURPOSE, GUARDIAN)
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
EXPLICIT_ACTS: Final = frozenset({"tick", "signature", "confirmation"})
UNTOUCHED: Final = "unchecked"
PRE_TICKED: Final = "checked"

_KINDS_OF_EVIDENCE: Final = 256
_NO_FIELDS: Final[frozenset[str]] = frozenset()
_MISSING: Final = {
    PURPOSE: "consent_missing",
    SENSITIVE: "separate_consent_missing",
    RECIPIENT: "recipient_consent_missing",
    GUARDIAN: "guardian_consent_missing",
}


class Consent(msgspec.Struct, frozen=True):
    """One consent as it was recorded: facts, and no judgement of them."""

    purpose: str
    kind: str
    recipient: str
    given_at: datetime
    withdrawn_at: datetime | None
    notice_version: str
    notice_shown_at: datetime | None
    control_id: str
    control_initial: str
    text_digest: str
    act: str

    def in_force(self, at: datetime) -> bool:
        """Whether it was given by ``at`` and not withdrawn by then."""
        return self.given_at <= at and (self.withdrawn_at is None or self.withdrawn_at > at)


class Processing(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done with one customer's data, as consent has to cover it.

    Attributes:
        dataset: The dataset of the row.
        fields: The names of the fields that are present and needed.
        sensitive: Whether any of them is sensitive, or the subject is under 14 (art. 28).
        under_14: Whether the subject is under 14 on the day (art. 31).
        collected_at: When the firm collected the data; None when the row does not say.
        at: The instant of the processing.
    """

    purpose: str
    dataset: str
    fields: frozenset[str]
    sensitive: bool
    under_14: bool
    collected_at: datetime | None
    at: datetime


def document_context(installation: UUID, customer: UUID, consent_id: UUID) -> tuple[bytes, ...]:
    """Return what the seal of a consent's document is bound to."""
    return (installation.bytes, b"consent", customer.bytes, consent_id.bytes)


def reasons_against(
    consents: Sequence[Consent], processing: Processing, notices: Mapping[str, Notice]
) -> tuple[str, ...]:
    """Return every code by which the consents fail to carry the processing, none if they do.

    1. A consent to the purpose (art. 13, 14). 2. For sensitive data a separate one (art. 29).
    3. For a child under 14 its guardian's (art. 31).
    """
    codes = _against_kind(consents, PURPOSE, "", processing, notices)
    if processing.sensitive:
        codes |= _against_kind(consents, SENSITIVE, "", processing, notices)
    if processing.under_14:
        codes |= _against_kind(consents, GUARDIAN, "", processing, notices)
    return tuple(sorted(codes)) if codes else ()


def recipient_reasons(
    consents: Sequence[Consent],
    recipient: str,
    processing: Processing,
    notices: Mapping[str, Notice],
) -> tuple[str, ...]:
    """Return every code by which no separate consent names this recipient (art. 23)."""
    return tuple(sorted(_against_kind(consents, RECIPIENT, recipient, processing, notices)))


def withdrawn_purposes(consents: Collection[Consent], at: datetime) -> dict[str, datetime]:
    """Return the purposes a subject withdrew from and did not consent to again by ``at``.

    A child's guardian withdraws for the child (art. 31). Whoever consents afterwards, without the
    guardian, has grown up: what is stored from then on was taken in on that consent, for a child
    would have been refused; what was there before still lacks the guardian's.

    Returns:
        For each purpose, the instant before which stored records have lost their basis.
    """
    given: dict[tuple[str, str], datetime] = {}
    ended: dict[tuple[str, str], datetime] = {}
    for consent in consents:
        if consent.kind not in CARRYING:
            continue
        which = (consent.purpose, consent.kind)
        given[which] = max(consent.given_at, given.get(which, consent.given_at))
        if consent.withdrawn_at is not None and consent.withdrawn_at <= at:
            ended[which] = max(consent.withdrawn_at, ended.get(which, consent.withdrawn_at))
    lost: dict[str, datetime] = {}
    for (purpose, kind), end in ended.items():
        if end >= given[purpose, kind]:
            until = _grown_up(consents, purpose, end) if kind == GUARDIAN else FOR_EVER
            lost[purpose] = max(until, lost.get(purpose, until))
    return lost


def _grown_up(consents: Iterable[Consent], purpose: str, end: datetime) -> datetime:
    """Return when a subject first consented alone after its guardian's consent had ended."""
    own = (one.given_at for one in consents if (one.purpose, one.kind) == (purpose, PURPOSE))
    return min((given for given in own if given > end), default=FOR_EVER)


def is_given(consents: Sequence[Consent], purpose: str, kind: str, at: datetime) -> bool:
    """Whether a consent of the kind to the purpose is in force and no withdrawal ended it.

    A withdrawal may stand on another record of the same consent, such as a later row of a file.
    """
    fitting = [one for one in consents if (one.purpose, one.kind) == (purpose, kind)]
    return any(
        one.in_force(at) and not any(_ends(other, one, at) for other in fitting) for one in fitting
    )


def _against_kind(
    consents: Sequence[Consent],
    kind: str,
    recipient: str,
    processing: Processing,
    notices: Mapping[str, Notice],
) -> frozenset[str]:
    """Return why no consent of the kind is sound; if all fail, the codes of the latest one.

    Of several that are equally late, the first one's.
    """
    latest: datetime | None = None
    codes = frozenset({_MISSING[kind]})
    for consent in consents:
        if consent.kind != kind or consent.purpose != processing.purpose:
            continue
        if consent.recipient != recipient:
            continue
        against = _against_one(consent, consents, processing, notices)
        if not against:
            return against
        if latest is None or consent.given_at > latest:
            latest, codes = consent.given_at, against
    return codes


def _against_one(
    consent: Consent,
    consents: Sequence[Consent],
    processing: Processing,
    notices: Mapping[str, Notice],
) -> frozenset[str]:
    codes = _against_evidence(
        consent.act, consent.control_initial, bool(consent.control_id and consent.text_digest)
    )
    further = [
        *_against_others(consent, consents, processing.at),
        *_against_times(consent, processing),
        *_against_notice(consent, processing, notices),
    ]
    return codes.union(further) if further else codes


@lru_cache(_KINDS_OF_EVIDENCE)
def _against_evidence(act: str, control_initial: str, known: bool) -> frozenset[str]:  # noqa: FBT001 - part of a key
    """Explicit and voluntary, as far as the evidence shows it (art. 14; H1.3a)."""
    codes = []
    if act not in EXPLICIT_ACTS:
        codes.append("consent_not_explicit")
    if control_initial == PRE_TICKED:
        codes.append("consent_pre_ticked")
    if not (known and control_initial in {UNTOUCHED, PRE_TICKED}):
        codes.append("consent_evidence_unknown")
    return frozenset(codes)


def _against_others(consent: Consent, consents: Iterable[Consent], at: datetime) -> Sequence[str]:
    """What the subject's other consents say of it: given by one act with another, or withdrawn."""
    codes = []
    for other in consents:
        if other.purpose != consent.purpose and _one_act_for_both(consent, other):
            codes.append("consent_bundled")
        if other.withdrawn_at is not None and _ends(other, consent, at):
            codes.append("consent_withdrawn")
    return codes


def _one_act_for_both(consent: Consent, other: Consent) -> bool:
    """Whether one act on one control was taken as consent to two purposes (art. 14)."""
    return (
        other.purpose != consent.purpose
        and bool(consent.control_id)
        and (other.control_id, other.given_at) == (consent.control_id, consent.given_at)
    )


def _against_times(consent: Consent, processing: Processing) -> Sequence[str]:
    """Given before the data were collected (art. 14)."""
    if consent.given_at > (processing.collected_at or processing.at):
        return ("consent_after_collection",)
    return ()


def _ends(other: Consent, consent: Consent, at: datetime) -> bool:
    """Whether withdrawing ``other`` ended ``consent``.

    People withdraw from what is done with their data, not from one of several records of having
    agreed to it.
    """
    ended_at = other.withdrawn_at
    if ended_at is None or not consent.given_at <= ended_at <= at:
        return False
    return (other.purpose, other.kind, other.recipient) == (
        consent.purpose,
        consent.kind,
        consent.recipient,
    )


def _against_notice(
    consent: Consent, processing: Processing, notices: Mapping[str, Notice]
) -> Sequence[str]:
    """The notice was shown before consent and collection, and covers what is done (art. 14, 17)."""
    codes = []
    shown_at = consent.notice_shown_at
    if shown_at is None:
        codes.append("notice_not_shown")
    elif shown_at > consent.given_at or shown_at > (processing.collected_at or processing.at):
        codes.append("notice_after_collection")
    notice = notices.get(consent.notice_version)
    if notice is None:
        codes.append("notice_unknown")
    elif processing.purpose not in notice.purposes or not (
        processing.fields <= notice.fields.get(processing.dataset, _NO_FIELDS)
    ):
        codes.append("notice_not_covering")
    return codes
