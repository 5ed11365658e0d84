"""Looking at quality as a control: what is asked today, and every result the ledger has."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from custody.acts.consent_rows import consent_scope
from custody.acts.context import Custody
from custody.acts.gates import DESTROY, STORE, TRANSFER
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.database.quality import RESULTS, kept_suites
from custody.gates import ABOUT, GateSuite, Judged, read_result, stage_suite
from custody.quality.asked import asked_at_ingest
from custody.sources.consents import consents_dataset

UNREADABLE: Final = "unreadable"


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
    """Return every result in the ledger, oldest first: all of them, or those about one thing.

    One that does not follow from its suite and its counts has the verdict ``unreadable``.
    """
    with transaction(custody.data) as connection:
        entries = tables.entries_of(connection, RESULTS)
        suites = kept_suites(connection)
    results = []
    for entry in entries:
        body = json.loads(entry.body)
        result = read_result(body["facts"], suites)
        named = next((str(body["facts"][name]) for name in ABOUT if name in body["facts"]), "")
        if about in {"", named}:
            results.append(
                Result(
                    at=entry.at,
                    stage=entry.event.split(":")[1],
                    about=named,
                    verdict=UNREADABLE if result is None else result.verdict,
                    suite=str(body["facts"].get("suite", "")),
                    digest=str(body["facts"].get("digest", "")),
                    run=body["run"],
                    judged=() if result is None else result.judged,
                )
            )
    return results


def suites_today(custody: Custody) -> Iterator[Asked]:
    """Yield what today's policy asks: at ingest by purpose and dataset, then of each stage."""
    policy = custody.policy
    for purpose in policy.purposes.values():
        for name, scope in purpose.scopes.items():
            _, suite = asked_at_ingest(policy, policy.dataset(name), scope)
            yield Asked(purpose=purpose.name, suite=suite)
    consents = consents_dataset(policy)
    _, suite = asked_at_ingest(policy, consents, consent_scope(consents))
    yield Asked(purpose="", suite=suite)
    for stage in (STORE, TRANSFER):
        for name in policy.datasets:
            yield Asked(purpose="", suite=stage_suite(policy, stage, name))
    yield Asked(purpose="", suite=stage_suite(policy, DESTROY))
