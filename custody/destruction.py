"""Destruction: what a plan contains, when it may be applied, what its certificate may claim."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Protocol
from uuid import UUID

from custody.counts import add_counts
from custody.errors import CustodyError, Reason

CERTIFICATE_DOMAIN: Final = b"custody/certificate/v1\0"


class DestructionFailedError(CustodyError):
    """Something that was to be destroyed is still there, or vanished unexplained."""

    code = "destruction_failed"

    def __init__(self, plan: str, place: str, count: int) -> None:
        super().__init__(plan, place, count)
        self.plan, self.place, self.count = plan, place, count

    def __str__(self) -> str:
        """Return the place and how many rows it concerns."""
        return f"{self.plan}: {self.place}: {self.count} not accounted for; no certificate"


class Due(Protocol):
    """What a plan knows of a record."""

    @property
    def record_id(self) -> UUID:
        """The record."""

    @property
    def version(self) -> int:
        """The version of it that was planned."""

    @property
    def customer_id(self) -> UUID:
        """Whose it is."""

    @property
    def dataset(self) -> str:
        """What kind of record it is."""

    @property
    def reason(self) -> str:
        """Why it is due."""


def data_digest(due: Sequence[Due]) -> bytes:
    """Return SHA-256 over the due records and versions in order of id: a plan's fingerprint."""
    running = hashlib.sha256(b"custody/plan/v1\0")
    for one in sorted(due, key=lambda record: record.record_id.bytes):
        running.update(one.record_id.bytes + one.version.to_bytes(4, "big"))
    return running.digest()


def purge_cap(customers: int, minimum: int, percent: int) -> int:
    """Return how many customers one purge may concern before two people have to approve it."""
    return max(minimum, customers * percent // 100)


def reasons_against_applying(
    *, as_of: date, today: date, synthetic: bool, moved: bool
) -> tuple[Reason, ...]:
    """Return why a plan may not be applied now, none if it may."""
    reasons = []
    if as_of > today and not synthetic:
        reasons.append(Reason(code="plan_in_future"))
    if moved:
        reasons.append(Reason(code="plan_moved"))
    return tuple(reasons)


def count_by_reason(due: Iterable[Due]) -> dict[str, dict[str, int]]:
    """Return how many records of each dataset are due for each reason."""
    counts: dict[str, dict[str, int]] = {}
    for one in due:
        counts[one.dataset] = add_counts(counts.get(one.dataset, {}), {one.reason: 1})
    return counts


def certificate_statement(plan: str, destroyed: int) -> Mapping[str, str]:
    """Return what part one of a certificate says in words, and what it does not claim."""
    return {
        "en": (
            f"Under {plan}, {destroyed} records were deleted with their keys of their own, index "
            "entries and tags, and their absence was verified by reading back. The key-encryption "
            "keys are not destroyed yet: until the period's end or the bucket's turn, backups may "
            "still hold what opens earlier copies. This is part one of two. No sanitisation of "
            "media is claimed."
        ),
        "zh": (
            f"依据 {plan},已删除 {destroyed} 条记录及其数据密钥、索引与标签,并经回读核实不复存在。"
            "密钥加密密钥尚未销毁:在期末或换桶之前,备份中可能仍有可解开旧副本的内容。"
            "本证明为两部分中的第一部分,不声称对存储介质进行了清除。"
        ),
    }
