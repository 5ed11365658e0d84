"""Decisions on requests: permitted, refused, or once two people approve, with every reason.

Rules only; what they look at was read before. A reason whose code only warns or *cannot tell*
(training, impact assessment: not captured yet) is reported and never blocks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from custody.approval import CLEAR, USE, Request, key_fingerprint
from custody.codes import require_code
from custody.errors import AwaitingApprovalError, Reason, RefusedError
from custody.people import Person, level_reasons, person_reasons
from custody.policy.model import Level, Policy

APPROVALS_NEEDED: Final = 2
HOME: Final = "CN"
_EXPORT_RULE: Final = "P38"


class Verdict(StrEnum):
    """What a decision comes to."""

    PERMITTED = "permitted"
    REFUSED = "refused"
    NEEDS_APPROVAL = "needs_approval"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A decision as a value.

    Attributes:
        subject: The request, ``req_…``.
        reasons: Every reason that refuses; empty unless refused.
        notes: What warns, and what nobody captured.
        left_out: Rows that were left out of the request, by code.
        votes: Approvals so far, of ``needed``.
    """

    subject: str
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Reason, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    votes: int = 0
    needed: int = 0

    def require(self) -> "Decision":
        """Return the decision if it permits.

        Raises:
            RefusedError: It refuses; with all reasons.
            AwaitingApprovalError: It waits for votes.
        """
        if self.verdict is Verdict.REFUSED:
            raise RefusedError(self.subject, self.reasons)
        if self.verdict is Verdict.NEEDS_APPROVAL:
            raise AwaitingApprovalError(self.subject, self.votes, self.needed)
        return self


def split_reasons(reasons: Iterable[Reason]) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
    """Return the reasons that block, and those that only tell."""
    told = tuple(reasons)
    blocks = [require_code(reason.code).severity == "blocking" for reason in told]
    return (
        tuple(r for r, blocking in zip(told, blocks, strict=True) if blocking),
        tuple(r for r, blocking in zip(told, blocks, strict=True) if not blocking),
    )


def approvals_needed(policy: Policy, request: Request) -> int:
    """Return how many people must approve.

    A transfer and a capped destruction always need two; a use, where it shows sensitive or secret
    fields in clear.
    """
    if request.kind != USE or any(
        level is not Level.GENERAL for level in clear_levels(policy, request).values()
    ):
        return APPROVALS_NEEDED
    return 0


def clear_levels(policy: Policy, request: Request) -> dict[str, Level]:
    """Return the level of each field that the request asks for in clear."""
    if not request.dataset:
        return {}
    dataset = policy.dataset(request.dataset)
    return {
        name: dataset.field(name).level for name, shown in request.fields.items() if shown == CLEAR
    }


def use_reasons(policy: Policy, person: Person, request: Request, at: datetime) -> list[Reason]:
    """Return everything that speaks against, or is to be told about, a use."""
    return [
        *person_reasons(policy, person, "file_use"),
        *level_reasons(policy, person, clear_levels(policy, request)),
        *_purpose_reasons(policy, request),
        *_window_reasons(policy, request, at),
        *_captured_reasons(policy, request),
    ]


def transfer_reasons(
    policy: Policy, person: Person, request: Request, at: datetime, today: date
) -> list[Reason]:
    """Return everything that speaks against, or is to be told about, a transfer."""
    return [
        *person_reasons(policy, person, "file_transfer"),
        *_purpose_reasons(policy, request),
        *_recipient_reasons(policy, request, today),
        *_window_reasons(policy, request, at),
        *_captured_reasons(policy, request),
    ]


def export_blocks(policy: Policy, today: date) -> bool:
    """Whether sending data abroad is refused: P38, unless the signed policy only warns of it."""
    rule = policy.rules.get(_EXPORT_RULE)
    return rule is None or not rule.in_force(today) or rule.mode == "block"


def _purpose_reasons(policy: Policy, request: Request) -> list[Reason]:
    """Minimum necessary (H1.3b): the purpose must need the dataset and every field of it."""
    purpose = policy.purposes.get(request.purpose)
    scope = None if purpose is None else purpose.scopes.get(request.dataset)
    if scope is None:
        return [Reason(code="purpose_not_permitted", about=request.purpose)]
    return [
        Reason(code="fields_not_necessary", about=name)
        for name in sorted(request.fields.keys() - scope.fields)
    ]


def _recipient_reasons(policy: Policy, request: Request, today: date) -> list[Reason]:
    """The recipient as the policy has it today (P21, P23), the same as the approvers saw."""
    recipient = policy.recipients.get(request.recipient)
    if recipient is None:
        return [Reason(code="recipient_unlisted", about=request.recipient)]
    reasons = []
    if (request.key, request.country) != (key_fingerprint(recipient.key), recipient.country):
        reasons.append(Reason(code="digest_mismatch", about=recipient.name))
    if not recipient.contract.in_force(today):
        reasons.append(Reason(code="contract_not_in_force", about=recipient.name))
    if request.purpose not in recipient.contract.purposes:
        reasons.append(Reason(code="purpose_not_permitted", about=recipient.name))
    permitted = recipient.fields.get(request.dataset, frozenset())
    reasons += [
        Reason(code="fields_not_necessary", about=f"{recipient.name}.{name}")
        for name in sorted(request.fields.keys() - permitted)
    ]
    if recipient.country != HOME and export_blocks(policy, today):
        reasons.append(Reason(code="country_not_permitted", about=recipient.country))
    return reasons


def _window_reasons(policy: Policy, request: Request, at: datetime) -> list[Reason]:
    reasons = []
    # A day more, for what ends with its last day was counted in days.
    latest = at + timedelta(days=policy.settings.window_days + 1)
    if request.until is None or not at < request.until <= latest:
        reasons.append(Reason(code="window_invalid"))
    if not request.rows or not request.fields:
        reasons.append(Reason(code="nothing_to_do"))
    return reasons


def _captured_reasons(policy: Policy, request: Request) -> list[Reason]:
    """What rules ask for and nobody captures yet: training (H2.2), impact assessment (P55)."""
    reasons = [Reason(code="training_not_captured")]
    if approvals_needed(policy, request):
        reasons.append(Reason(code="assessment_not_captured"))
    return reasons
