"""After destruction: absence verified by reading back, and a signed certificate, part one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.gates import DESTROY, record_result
from custody.acts.planning import require_plan
from custody.acts.recording import record
from custody.canonical import canonical, parse_canonical
from custody.counts import add_counts
from custody.database import endings, identities, plans
from custody.database.engine import transaction
from custody.database.plans import Certificate
from custody.destruction import (
    CERTIFICATE_DOMAIN,
    DestructionFailedError,
    certificate_statement,
)
from custody.errors import UsageError
from custody.gates import Counts, judge, stage_suite
from custody.identifiers import CERTIFICATE, INSTALLATION, PLAN, show_id, time_ordered_id
from custody.steps import reached

_PAGE: Final = 5000
_PLACES: Final = {
    "every_outcome_final": "records",
    "records_absent": "records",
    "record_keys_absent": "record_keys",
    "search_index_absent": "search_index",
    "identity_tags_absent": "identity tags",
    "data_keys_ended": "data keys",
}
"""The place that each check of the stage looks at."""
_ROW_PLACES: Final = ("records_absent", "record_keys_absent", "search_index_absent")


@dataclass(frozen=True, kw_only=True, slots=True)
class AbsenceReceipt:
    """What reading back found: per place how many rows were looked for and are gone.

    Attributes:
        quality: The digest of the result that the ledger has of it.
    """

    plan_id: UUID
    outcomes: Mapping[str, int]
    places: Mapping[str, int]
    quality: str


def verify_absence(custody: Custody, actor: Actor, plan_id: UUID) -> AbsenceReceipt:
    """Read back every place a plan's records and identities could still be in, and record it.

    Raises:
        DestructionFailedError: A place still holds something, a record vanished unexplained, or a
            key that must end is still there.
    """
    plan = require_plan(custody, plan_id)
    shown = show_id(PLAN, plan.id)
    with transaction(custody.data) as connection:
        counts = plans.outcome_counts(connection, plan_id)
        outcomes = add_counts(*({count.outcome: count.rows} for count in counts))
        unfinished = outcomes.get("planned", 0) + outcomes.get("failed", 0)
        destroyed = outcomes.get("destroyed", 0)
        looked_at = {
            "every_outcome_final": (sum(outcomes.values()), unfinished),
            **_look_back(connection, plan_id, destroyed),
            "data_keys_ended": (destroyed, endings.count_endings(connection, plan_id)),
        }
        result = judge(stage_suite(custody.policy, DESTROY), looked_at)
        digest = record_result(connection, custody, actor, {"plan": shown}, result)
    for one in result.failed:
        raise DestructionFailedError(shown, _PLACES[one.check.name], one.failed)
    reached("verify:absent")
    places = {_PLACES[name]: looked_at[name][0] for name in _ROW_PLACES}
    return AbsenceReceipt(
        plan_id=plan_id,
        outcomes=outcomes,
        places=places | {"identities": looked_at["identity_tags_absent"][0]},
        quality=digest,
    )


def certify_destruction(custody: Custody, actor: Actor, absence: AbsenceReceipt) -> Certificate:
    """Issue the plan's certificate, part one; one that was issued already is returned.

    Every inventoried place has a terminal outcome, or :func:`verify_absence` would have raised.
    """
    plan = require_plan(custody, absence.plan_id)
    with transaction(custody.data) as connection:
        plans.find_plan(connection, plan.id, lock=True)
        known = plans.find_certificate(connection, plan.id)
        if known is not None:
            return known
        certificate = _issue(custody, connection, absence)
        plans.add_certificate(connection, certificate)
        plans.set_plan_state(connection, plan.id, "applied")
        facts = {
            "plan": show_id(PLAN, plan.id),
            "certificate": show_id(CERTIFICATE, certificate.id),
            "outcomes": dict(absence.outcomes),
            "part": "one",
        }
        record(connection, custody, actor, "certificate:destroy:issued", facts)
    reached("certify:issued")
    return certificate


def verify_certificate(body: str, signature: bytes, public_key: bytes) -> dict[str, Any]:
    """Return what a certificate says once its signature is found good.

    Raises:
        UsageError: The signature is not of this body under this key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            signature, CERTIFICATE_DOMAIN + body.encode()
        )
    except InvalidSignature:
        raise UsageError("the certificate's signature does not verify") from None
    said: dict[str, Any] = parse_canonical(body.encode())
    return said


def _look_back(connection: Connection, plan_id: UUID, destroyed: int) -> Counts:
    """Return by check how many rows were looked for in its place, and how many are there."""
    found, looked = dict.fromkeys(_ROW_PLACES, 0), 0
    after = UUID(int=0)
    while page := plans.planned_after(connection, plan_id, after, _PAGE):
        gone = [one.record_id for one in page if one.outcome == "destroyed"]
        looked += len(gone)
        still = plans.places_still_holding(connection, gone)
        found = {name: found[name] + still[_PLACES[name]] for name in found}
        after = page[-1].record_id
    ended = plans.identities_ended(connection, plan_id)
    remaining = identities.count_tags(connection, ended)
    return {
        **{name: (looked, left + abs(destroyed - looked)) for name, left in found.items()},
        "identity_tags_absent": (len(ended), remaining),
    }


def _issue(custody: Custody, connection: Connection, absence: AbsenceReceipt) -> Certificate:
    plan = require_plan(custody, absence.plan_id)
    certificate_id = time_ordered_id(custody.now())
    destroyed = absence.outcomes.get("destroyed", 0)
    body = {
        "v": 1,
        "certificate": show_id(CERTIFICATE, certificate_id),
        "part": "one",
        "installation": show_id(INSTALLATION, custody.installation_id),
        "plan": show_id(PLAN, plan.id),
        "as_of": plan.as_of.isoformat(),
        "issued_at": custody.now().isoformat(),
        "policy": plan.policy_digest,
        "outcomes": dict(absence.outcomes),
        "by_dataset": [
            {"dataset": c.dataset, "reason": c.reason, "outcome": c.outcome, "records": c.rows}
            for c in plans.outcome_counts(connection, plan.id)
        ],
        "verified_absent": dict(absence.places),
        "quality": absence.quality,
        "method": "rows deleted; data keys without survivors deleted; KEKs not destroyed yet",
        "statement": dict(certificate_statement(show_id(PLAN, plan.id), destroyed)),
        "public_key": custody.keyring.verify_key_bytes().hex(),
    }
    signed = canonical(body)
    return Certificate(
        id=certificate_id,
        plan_id=plan.id,
        body=signed.decode(),
        signature=custody.keyring.signing_key().sign(CERTIFICATE_DOMAIN + signed),
        issued_at=custody.now(),
    )
