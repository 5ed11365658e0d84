"""How an act reaches the ledger: as the last statement of its transaction, or not at all."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.leases import require_lease
from custody.canonical import canonical
from custody.database.ledger import append_entry
from custody.parts import Parts
from custody.steps import reached

OF_RUNS: Final = "run:flow:"


def record(
    connection: Connection,
    custody: Custody,
    actor: Actor,
    event: str,
    facts: Mapping[str, object],
    parts: Parts | None = None,
) -> int:
    """Append the act to the ledger and return the entry's number.

    Facts without a canonical form (floats, nulls, dates) are refused there.

    Args:
        connection: The transaction of the act; nothing but its commit follows.
        custody: The installation, whose policy version the entry names.
        actor: Who acts, how established, in which run.
        event: ``subject:key:verb``, listed in ``docs/ledger.md``.
        facts: Identifiers, counts, digests and codes; never a customer's data.
        parts: What a bulk act did to single records.

    Raises:
        RunFencedError: The actor's run was taken for lost: nothing is done in its name any more.
    """
    if not event.startswith(OF_RUNS):
        require_lease(connection, actor)
    body = {
        "actor": actor.name,
        "how": actor.how,
        "run": actor.run_id,
        "policy": custody.policy.digest,
        "facts": facts if parts is None else {**facts, **parts.facts()},
    }
    array = None if parts is None else parts.array()
    seq = append_entry(connection, event, canonical(body), array)
    reached(f"{event}:before-commit")
    return seq
