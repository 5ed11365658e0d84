"""What a quality check says: which rows fail by which codes, and figures without any value."""

from collections.abc import Mapping
from dataclasses import dataclass

from custody.gates import GateSuite


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """How one expectation went over a chunk.

    Attributes:
        name: The check's, unique in its suite.
        rule: The code of the rows that fail it; ``readable`` stands for several.
        column: The field it judges, empty for the row as a whole.
        checked: How many cells it judged; those that hold nothing are passed over.
        failed: How many of them failed.
    """

    name: str
    rule: str
    column: str
    severity: str
    checked: int
    failed: int

    @property
    def success(self) -> bool:
        """Return whether no cell failed."""
        return self.failed == 0

    def facts(self) -> dict[str, object]:
        """Return the finding as plain names and numbers."""
        return {
            "name": self.name,
            "rule": self.rule,
            "column": self.column,
            "severity": self.severity,
            "success": int(self.success),
            "checked": self.checked,
            "failed": self.failed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict on one chunk.

    Attributes:
        blocking: The codes that refuse a row, by row number; rows without any are left out.
        warnings: The codes that only tell, by row number.
        findings: Every expectation of the suite, in the suite's order.
        suite: What was asked; the same for every chunk of a policy.
        digest: SHA-256, in hex, of suite, day and findings.
    """

    blocking: Mapping[int, frozenset[str]]
    warnings: Mapping[int, frozenset[str]]
    findings: tuple[Finding, ...]
    suite: GateSuite
    digest: str

    @property
    def result(self) -> tuple[dict[str, object], ...]:
        """Return the findings as plain names and numbers."""
        return tuple(finding.facts() for finding in self.findings)

    def receipt(self) -> dict[str, object]:
        """Return what a chunk's receipt says of it."""
        counts = [[one.checked, one.failed] for one in self.findings]
        return {"digest": self.digest, "suite": self.suite.digest, self.suite.stage: counts}
