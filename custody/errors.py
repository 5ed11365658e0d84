"""The errors custody raises, and the reasons they carry.

Every error has a code of :mod:`custody.codes`, names identifiers and never values, and survives
pickling: ``__init__`` hands its arguments to ``super().__init__`` unchanged, because unpickling
calls ``cls(*args)``.
"""

from dataclasses import dataclass
from typing import ClassVar

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_AWAITING = 4
EXIT_QUALITY = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One reason of a decision.

    Attributes:
        code: A code of :mod:`custody.codes`; the catalogues give its text, article and next step.
        about: Which named thing it concerns (a field, a recipient, an identifier); never a value.
        count: How many rows or customers it concerns, where that is more than one.
    """

    code: str
    about: str = ""
    count: int = 1

    def __str__(self) -> str:
        """Return the code, with what it is about."""
        return f"{self.code}({self.about})" if self.about else self.code


class CustodyError(Exception):
    """Something custody could not do; the base of every error it raises on purpose."""

    code: ClassVar[str] = "fault"
    exit_code: ClassVar[int] = EXIT_FAULT


class UsageError(CustodyError):
    """The call itself is wrong: an unknown name, a malformed identifier, a missing file."""

    code: ClassVar[str] = "usage"
    exit_code: ClassVar[int] = EXIT_USAGE

    def __init__(self, what: str, about: str = "") -> None:
        super().__init__(what, about)
        self.what, self.about = what, about

    def __str__(self) -> str:
        """Return what is wrong and with which name."""
        return f"{self.what}: {self.about}" if self.about else self.what


class RefusedError(CustodyError):
    """A rule refuses the act; all reasons are given, not only the first."""

    code: ClassVar[str] = "refused"
    exit_code: ClassVar[int] = EXIT_REFUSED

    def __init__(self, subject: str, reasons: tuple[Reason, ...]) -> None:
        super().__init__(subject, reasons)
        self.subject, self.reasons = subject, reasons

    def __str__(self) -> str:
        """Return the refused thing's identifier and every reason."""
        return f"{self.subject} refused: {', '.join(map(str, self.reasons))}"


class AwaitingApprovalError(CustodyError):
    """The act may go on once the missing votes are in."""

    code: ClassVar[str] = "approvals_missing"
    exit_code: ClassVar[int] = EXIT_AWAITING

    def __init__(self, subject: str, votes: int, needed: int) -> None:
        super().__init__(subject, votes, needed)
        self.subject, self.votes, self.needed = subject, votes, needed

    def __str__(self) -> str:
        """Return how many votes there are and how many are needed."""
        return f"{self.subject} waits for approval: {self.votes} of {self.needed} votes"


class QualityGateError(CustodyError):
    """Data fails its quality expectations as a whole, so nothing of it was taken."""

    code: ClassVar[str] = "quality_gate"
    exit_code: ClassVar[int] = EXIT_QUALITY

    def __init__(self, subject: str, reasons: tuple[Reason, ...]) -> None:
        super().__init__(subject, reasons)
        self.subject, self.reasons = subject, reasons

    def __str__(self) -> str:
        """Return what failed and every reason."""
        return f"{self.subject} failed its quality gate: {', '.join(map(str, self.reasons))}"
