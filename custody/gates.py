"""Quality checks of a stage as values: the suite that was asked, counts, and the verdict on them.

A suite is kept whole under its digest, and a result names that digest, so that years later one can
see what was asked, of whom it was to be told, how much was let pass, and what came of it::

    suite  = {"checks":[{"name":…,"code":…,"kind":…,"severity":…,"owner":…,
              "tolerated_permille":n,"asked":{…}},…],"dataset":…,"stage":…,"v":1}
    result = {"batch":… or "request":… or "plan":…,"checked":[n,…],"codes":[…],"failed":[n,…],
              "rows":n,"stage":…,"suite":digest,"verdict":…}

with digests SHA-256 over the domain, a zero byte and the canonical JSON. What is let pass is a
share of the rows of the batch, so that of a field which is seldom given one mistake stops nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from custody.canonical import CanonicalError, digest, parse_canonical
from custody.policy.model import ALL_PERMILLE, Policy, Severity

SUITE_DOMAIN: Final = "custody/quality-suite/v1"
RESULT_DOMAIN: Final = "custody/quality-result/v1"

ABOUT: Final = ("batch", "request", "plan")
"""What a result may be about, as the ledger's facts name it."""

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
        tolerated_permille: Of a thousand rows of the batch, how many may fail it.
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

    def __post_init__(self) -> None:
        """Refuse two checks of one name: counts go by it."""
        if len({check.name for check in self.checks}) != len(self.checks):
            raise ValueError("two checks of one name")

    def to_plain(self) -> dict[str, object]:
        """Return its body, as it is kept."""
        checks = [check.to_plain() for check in self.checks]
        return {"v": 1, "stage": self.stage, "dataset": self.dataset, "checks": checks}

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hex, of its body."""
        return digest(SUITE_DOMAIN, self.to_plain()).hex()


@dataclass(frozen=True, slots=True)
class Judged:
    """How one check went.

    Attributes:
        rows: How many rows the batch has.
    """

    check: GateCheck
    checked: int
    failed: int
    rows: int

    @property
    def verdict(self) -> Verdict:
        """Return ``failed`` where more failed than is let pass of a check that blocks."""
        if not self.failed:
            return "passed"
        too_many = self.failed * ALL_PERMILLE > self.check.tolerated_permille * self.rows
        return "failed" if too_many and self.check.severity == "blocking" else "warned"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """What the checks of a suite said together."""

    suite: GateSuite
    judged: tuple[Judged, ...]
    rows: int

    @property
    def verdict(self) -> Verdict:
        """Return the worst of the checks' verdicts."""
        said = {one.verdict for one in self.judged}
        return "failed" if "failed" in said else "warned" if "warned" in said else "passed"

    @property
    def failed(self) -> tuple[Judged, ...]:
        """Return the checks that failed."""
        return tuple(one for one in self.judged if one.verdict == "failed")

    def facts(self, about: Mapping[str, str]) -> dict[str, object]:
        """Return what the ledger says of it; which check a count is of, the suite says.

        Args:
            about: What it is about: ``batch``, ``request`` or ``plan``, and how that is shown.
        """
        said: dict[str, object] = {
            **about,
            "stage": self.suite.stage,
            "suite": self.suite.digest,
            "checked": [one.checked for one in self.judged],
            "failed": [one.failed for one in self.judged],
            "rows": self.rows,
            "codes": sorted({one.check.code for one in self.judged if one.failed}),
            "verdict": self.verdict,
        }
        return {**said, "digest": digest(RESULT_DOMAIN, said).hex()}


def judge(suite: GateSuite, counts: Counts, rows: int = 0) -> GateResult:
    """Return what a suite says of the counts of its checks.

    Args:
        suite: What was asked.
        counts: Of each of its checks; without one of a check this raises KeyError.
        rows: How many rows the batch has, of which some may fail; of 0 none may.
    """
    judged = tuple(Judged(check, *counts[check.name], rows) for check in suite.checks)
    return GateResult(suite=suite, judged=judged, rows=rows)


def read_suite(body: bytes) -> GateSuite:
    """Return the suite whose body was kept.

    Raises:
        CanonicalError: It is not the body of one.
    """
    said = parse_canonical(body)
    checks = tuple(GateCheck(**one) for one in said["checks"])
    return GateSuite(stage=said["stage"], dataset=said["dataset"], checks=checks)


def read_result(facts: Mapping[str, Any], suites: Mapping[str, GateSuite]) -> GateResult | None:
    """Return the result that an entry states, by the suite it names.

    None where it states none, or one that does not follow from its counts.
    """
    try:
        suite = suites[facts["suite"]]
        counts = zip(facts["checked"], facts["failed"], strict=True)
        named = zip((check.name for check in suite.checks), counts, strict=True)
        result = judge(suite, dict(named), int(facts["rows"]))
        about = {name: str(facts[name]) for name in ABOUT if name in facts}
        return result if len(about) == 1 and result.facts(about) == dict(facts) else None
    except (KeyError, TypeError, ValueError, CanonicalError):
        return None


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
