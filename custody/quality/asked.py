"""What a policy asks of the rows of a batch: of its catalogue, and in suites of the firm's own."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from custody.gates import GateCheck, GateSuite
from custody.policy.expectations import NULLS
from custody.policy.model import Dataset, Gate, Policy, QualitySuite, Scope
from custody.quality.rules import Check, generated_checks

INGEST: Final = "ingest"
EXPECTED: Final = "expectation_failed"
ROWS: Final = "row_count_unexpected"


def asked_at_ingest(
    policy: Policy, dataset: Dataset, scope: Scope
) -> tuple[tuple[Check, ...], GateSuite]:
    """Return the checks of a chunk, and the suite as it is kept: the day is no part of it.

    The suite ends with what only the end of a batch can answer.
    """
    suites = policy.suites_of(dataset.name)
    gate = policy.gate(INGEST)
    generated = (
        replace(check, owner=gate.owner, tolerated_permille=gate.tolerated_permille)
        for check in generated_checks(dataset, scope)
    )
    checks = (*generated, *_expected(scope, gate, suites))
    asked = (*(check.to_gate() for check in checks), *_row_counts_of(suites))
    return checks, GateSuite(stage=INGEST, dataset=dataset.name, checks=asked)


def _row_counts_of(suites: Sequence[QualitySuite]) -> tuple[GateCheck, ...]:
    """Return the checks of how many rows a batch has, which only its end can answer."""
    return tuple(
        GateCheck(
            name=f"suites.{suite.name}.rows",
            code=ROWS,
            kind="rows",
            owner=suite.owner,
            asked={name: value for name, value in _bounds_of(suite).items() if value is not None},
        )
        for suite in suites
        if any(value is not None for value in _bounds_of(suite).values())
    )


def _bounds_of(suite: QualitySuite) -> dict[str, int | None]:
    return {"at_least": suite.rows_at_least, "at_most": suite.rows_at_most}


def _expected(scope: Scope, gate: Gate, suites: Sequence[QualitySuite]) -> Iterator[Check]:
    """Yield what the firm's own suites expect of fields that are needed."""
    for suite in suites:
        for one in suite.expectations:
            if scope.fields.issuperset(one.fields):
                own = one.tolerated_permille
                looked_at = "" if one.expect in NULLS else "#sound_value"
                yield Check(
                    name=f"suites.{suite.name}.{one.name}",
                    kind="expected",
                    code=EXPECTED,
                    field=one.fields[0],
                    columns=tuple(name + looked_at for name in one.fields),
                    severity=one.severity,
                    expect=one.expect,
                    parameters=json.dumps(one.parameters, ensure_ascii=False, sort_keys=True),
                    owner=suite.owner,
                    tolerated_permille=gate.tolerated_permille if own is None else own,
                )
