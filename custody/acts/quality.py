"""Looking at quality as a control: what is asked today, and every result the ledger has."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from custody.acts.context import Custody
from custody.acts.gates import DESTROY, STORE, TRANSFER
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.database.quality import RESULTS, suite_bodies
from custody.gates import GateSuite, Judged, judge, read_suite, stage_suite
from custody.quality.rules import INGEST, checks_of, row_counts_of, suite_of

_ABOUT = ("batch", "request", "plan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a suite said of something, as the ledger has it.

    Attributes:
        about: The batch, request or plan, as it is shown.
        suite: The digest of the suite.
        digest: That of the result.
        judged: Each check with its counts.
    """

    at: datetime
    stage: str
    about: str
    verdict: str
    suite: str
    digest: str
    run: str
    judged: Sequence[Judged]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A suite of today's policy; ``purpose`` is empty where it is asked whatever the purpose."""

    purpose: str
    suite: GateSuite


def quality_results(custody: Custody, about: str = "") -> list[Result]:
    """Return every result in the ledger, oldest first: all of them, or those about one thing."""
    with transaction(custody.data) as connection:
        entries = tables.entries_of(connection, RESULTS)
        bodies = suite_bodies(connection)
    suites = {digest: read_suite(body.encode()) for digest, body in bodies.items()}
    results = []
    for entry in entries:
        body = json.loads(entry.body)
        facts = body["facts"]
        named = next(facts[name] for name in _ABOUT if name in facts)
        if about in {"", named}:
            suite = suites[facts["suite"]]
            names = [check.name for check in suite.checks]
            counts = zip(facts["checked"], facts["failed"], strict=True)
            results.append(
                Result(
                    at=entry.at,
                    stage=facts["stage"],
                    about=named,
                    verdict=facts["verdict"],
                    suite=facts["suite"],
                    digest=facts["digest"],
                    run=body["run"],
                    judged=judge(suite, dict(zip(names, counts, strict=True))).judged,
                )
            )
    return results


def suites_today(custody: Custody) -> Iterator[Asked]:
    """Yield what today's policy asks: at ingest by purpose and dataset, then of each stage."""
    policy = custody.policy
    for purpose in policy.purposes.values():
        for name, scope in purpose.scopes.items():
            suites = policy.suites_of(name)
            checks = checks_of(policy.dataset(name), scope, policy.gate(INGEST), suites)
            yield Asked(purpose=purpose.name, suite=suite_of(name, checks, row_counts_of(suites)))
    for stage in (STORE, TRANSFER, DESTROY):
        yield Asked(purpose="", suite=stage_suite(policy, stage))
