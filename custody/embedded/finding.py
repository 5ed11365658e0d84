"""What a check found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: What was looked at.
        status: Whether it is as it should be.
        detail: What was found.
        next_step: What to do about it; empty when all is well.
    """

    name: str
    status: Status
    detail: str
    next_step: str = ""


def unreachable(name: str) -> Finding:
    """Return that something did not answer."""
    return Finding(
        name=name,
        status=Status.FAIL,
        detail="does not answer",
        next_step="check its address and log, then custody up",
    )
