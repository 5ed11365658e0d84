"""What the ledger says about one thing: every entry naming it, who, in which run, by which rule.

It is answered from the ledger and the policies kept whole, never from Prefect.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from custody.acts.context import Custody
from custody.database import ledger as tables
from custody.database import tree
from custody.database.engine import transaction
from custody.database.ledger import RunEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One entry about a thing.

    Attributes:
        place: Its place in the tree; None while it has none.
        how: How who acted was established; ``signed`` where a person's key did.
        policy: The digest of the policy it was done under, whole in ``policy_versions``.
    """

    place: int | None
    at: datetime
    event: str
    how: str
    actor: str
    run: str
    policy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the ledger says about a thing: entries in order, and the runs that wrote them."""

    lines: Sequence[Line]
    runs: Sequence[RunEntry]


def told_of(custody: Custody, named: Mapping[str, str]) -> Told:
    """Return the entries whose facts name one of these things, by the names facts have for them."""
    with transaction(custody.data) as connection:
        tree.read_as_one(connection)
        seqs = sorted(tables.seqs_about(connection, named))
        entries = [tables.entry_of(connection, seq) for seq in seqs]
        places = {seq: tree.place_of(connection, seq) for seq in seqs}
        known = {one.run_id: one for one in tables.run_entries(connection)} if seqs else {}
    lines = []
    for entry in filter(None, entries):
        body = json.loads(entry.body)
        lines.append(
            Line(
                place=places[entry.seq],
                at=entry.at,
                event=entry.event,
                how=body["how"],
                actor=body["actor"],
                run=body["run"],
                policy=body["policy"],
            )
        )
    runs = dict.fromkeys(one.run for one in lines if one.run)
    return Told(lines=lines, runs=[known[run] for run in runs if run in known])
