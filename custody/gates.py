"""Quality checks of a stage as values: the suite that was asked, counts, and the verdict on them.

A suite is kept whole under its digest, and a result names that digest, so that years later one can
see what was asked, of whom it was to be told, how much was let pass, and what came of it::

    suite  = {"checks":[{"name":…,"code":…,"kind":…,"severity":…,"owner":…,
              "tolerated_permille":n,"asked":{…}},…],"dataset":…,"stage":…,"v":1}
    result = {"checked":[n,…],"failed":[n,…],"stage":…,"suite":digest,"verdict":…}

with digests SHA-256 over the domain, a zero byte and the canonical JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from custody.canonical import digest, parse_canonical
from custody.policy.model import ALL_PERMILLE, Policy, Severity

SUITE_DOMAIN: Final = "custody/quality-suite/v1"
RESULT_DOMAIN: Final = "custody/quality-result/v1"

Verdict = Literal["passed", "warned", "failed"]
Counts = Mapping[str, tuple[int, int]]
"""By the name of a check: how many it judged, how many of them failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateCheck:
    """One check of a suite.

    Attributes:
        name: Unique in its suite.
        code: The code of what fails it.
        kind: What sort of check it is.
        owner: The role that is to act when it fails.
        tolerated_permille: Of a thousand that are judged, how many may fail it.
        asked: What exactly is asked, in plain names and numbers.
    """

    name: str
    code: str
    kind: str
    owner: str
    severity: Severity = "blocking"
    tolerated_permille: int = 0
    asked: Mapping[str, object]

    def to_plain(self) -> dict[str, object]:
        """Return it as a suite's body has it."""
        return {
            "name": self.name,
            "code": self.code,
            "kind": self.kind,
            "severity": self.severity,
            "owner": self.owner,
            "tolerated_permille": self.tolerated_permille,
            "asked": dict(self.asked),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSuite:
    """The checks of a stage, in their order; ``dataset`` is empty where they are of all."""

    stage: str
    dataset: str
    checks: tuple[GateCheck, ...]

    def to_plain(self) -> dict[str, object]:
        """Return its body, as it is kept."""
        checks = [check.to_plain() for check in self.checks]
        return {"v": 1, "stage": self.stage, "dataset": self.dataset, "checks": checks}

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hex, of its body."""
        return digest(SUITE_DOMAIN, self.to_plain()).hex()


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """How one check went."""

    check: GateCheck
    checked: int
    failed: int

    @property
    def verdict(self) -> Verdict:
        """Return ``failed`` where more failed than is let pass of a check that blocks."""
        if not self.failed:
            return "passed"
        too_many = self.failed * ALL_PERMILLE > self.check.tolerated_permille * self.checked
        return "failed" if too_many and self.check.severity == "blocking" else "warned"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """What the checks of a suite said together."""

    suite: GateSuite
    judged: tuple[Judged, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the worst of the checks' verdicts."""
        said = {one.verdict for one in self.judged}
        return "failed" if "failed" in said else "warned" if "warned" in said else "passed"

    @property
    def failed(self) -> tuple[Judged, ...]:
        """Return the checks that failed."""
        return tuple(one for one in self.judged if one.verdict == "failed")

    def facts(self) -> dict[str, object]:
        """Return what the ledger says of it; which check a count is of, the suite says."""
        said: dict[str, object] = {
            "stage": self.suite.stage,
            "suite": self.suite.digest,
            "checked": [one.checked for one in self.judged],
            "failed": [one.failed for one in self.judged],
            "verdict": self.verdict,
        }
        codes = sorted({one.check.code for one in self.judged if one.failed})
        return {**said, "codes": codes, "digest": digest(RESULT_DOMAIN, said).hex()}


def judge(suite: GateSuite, counts: Counts) -> GateResult:
    """Return what a suite says of the counts of its checks; one that has none judged nothing."""
    judged = tuple(
        Judged(check=check, checked=checked, failed=failed)
        for check in suite.checks
        for checked, failed in [counts.get(check.name, (0, 0))]
    )
    return GateResult(suite=suite, judged=judged)


def read_suite(body: bytes) -> GateSuite:
    """Return the suite whose body was kept.

    Raises:
        CanonicalError: It is not the body of one.
    """
    said = parse_canonical(body)
    checks = tuple(GateCheck(**one) for one in said["checks"])
    return GateSuite(stage=said["stage"], dataset=said["dataset"], checks=checks)


_OF_STAGES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "store": (
        ("stored_as_accepted", "stored_otherwise"),
        ("content_as_accepted", "stored_otherwise"),
        ("sealed_columns_hold_seals", "seal_absent"),
        ("record_keys_complete", "index_incomplete"),
        ("search_index_complete", "index_incomplete"),
        ("a_sample_opens_to_what_was_accepted", "stored_otherwise"),
    ),
    "transfer": (
        ("rows_as_approved_less_accounted", "package_count"),
        ("no_record_twice", "package_count"),
    ),
    "destroy": (
        ("every_outcome_final", "destruction_failed"),
        ("records_absent", "destruction_failed"),
        ("record_keys_absent", "destruction_failed"),
        ("search_index_absent", "destruction_failed"),
        ("identity_tags_absent", "destruction_failed"),
        ("data_keys_ended", "destruction_failed"),
    ),
}


def stage_suite(policy: Policy, stage: str, dataset: str = "") -> GateSuite:
    """Return custody's own suite of a stage after ingest; it lets nothing pass."""
    owner = policy.gate(stage).owner
    checks = tuple(
        GateCheck(name=name, code=code, kind="count", owner=owner, asked={})
        for name, code in _OF_STAGES[stage]
    )
    return GateSuite(stage=stage, dataset=dataset, checks=checks)
