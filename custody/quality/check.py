"""Judging a chunk: columns from rows, a suite from the catalogue, codes from the suite's answer."""

from collections.abc import Mapping, Sequence
from datetime import date

from custody.canonical import digest
from custody.normalise import NormalisedRow
from custody.policy.model import Dataset, Policy, Scope, Severity
from custody.quality.asked import asked_at_ingest
from custody.quality.engine import Outcome, run
from custody.quality.frame import Column, codes_in, columns_of
from custody.quality.rules import READABLE, Check
from custody.quality.verdict import Finding, Verdict


def check_chunk(
    policy: Policy, dataset: Dataset, scope: Scope, rows: Sequence[NormalisedRow], *, today: date
) -> Verdict:
    """Judge a chunk by what catalogue and the firm's suites say of the fields in ``scope``.

    Exact repeats of a row must have been removed; rows that share a record key and differ are all
    named. The order in which defects of one field are told is that of :mod:`custody.quality.rules`.

    Args:
        policy: Whose gate and suites are asked.
        dataset: The dataset of the rows.
        scope: The fields that are judged, and which of them are required.
        rows: Normalised rows, their numbers distinct.
        today: The day beyond which no recorded day can lie.

    Raises:
        QualityFaultError: The check could not run; nothing is said about the rows.
    """
    checks, suite = asked_at_ingest(policy, dataset, scope)
    columns = columns_of(dataset, scope, rows, checks, today)
    numbers = [row.number for row in rows]
    outcomes = run(dataset.name, checks, columns, numbers, today) if rows else _nothing(checks)
    findings = tuple(map(_finding, checks, outcomes))
    return Verdict(
        blocking=_codes("blocking", checks, outcomes, columns, numbers),
        warnings=_codes("warning", checks, outcomes, columns, numbers),
        findings=findings,
        suite=suite,
        digest=_digest(suite.digest, findings, today),
    )


def _nothing(checks: Sequence[Check]) -> tuple[Outcome, ...]:
    return tuple(Outcome(checked=0, failed_rows=()) for _ in checks)


def _finding(check: Check, outcome: Outcome) -> Finding:
    return Finding(
        name=check.to_gate().name,
        rule=check.code,
        column=check.field,
        severity=check.severity,
        checked=outcome.checked,
        failed=len(outcome.failed_rows),
    )


def _codes(
    severity: Severity,
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    columns: Mapping[str, Column],
    numbers: Sequence[int],
) -> dict[int, frozenset[str]]:
    failed = [
        (check, outcome.failed_rows)
        for check, outcome in zip(checks, outcomes, strict=True)
        if check.severity == severity and outcome.failed_rows
    ]
    places = {number: place for place, number in enumerate(numbers)} if failed else {}
    found: dict[int, frozenset[str]] = {}
    for check, failed_rows in failed:
        for number in failed_rows:
            cell = columns[check.columns[0]][places[number]]
            codes = codes_in(cell) if check.code == READABLE else frozenset({check.code})
            found[number] = found.get(number, frozenset()) | codes
    return found


def _digest(suite_digest: str, findings: Sequence[Finding], today: date) -> str:
    facts = {
        "suite": suite_digest,
        "today": today.isoformat(),
        "findings": [finding.facts() for finding in findings],
    }
    return digest("custody/quality-verdict/v1", facts).hex()
