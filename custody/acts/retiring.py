"""Retention of the record itself: entries past it are closed by a checkpoint, then removed.

What goes is the first entries of the tree, up to the size of a checkpoint that was kept when they
were written, once all of them are older than the policy says; three years is the floor (measures
2.4, PIPL art. 56). Their leaves stay, so the tree keeps its root, and every proof and checkpoint
verifies as before. The entry that says so names how many went, the root over them and where each
stream stood; without it, or with another one, ``custody verify`` finds the ledger broken.

The owner of the database removes them: the application has no privilege to.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from custody.acts.checkpoints import keep_checkpoint, known_heads
from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.subjects import ChangedMeanwhileError
from custody.acts.verify import verify_ledger
from custody.database import retiring, tree
from custody.database.engine import transaction
from custody.ledger import LEAST_YEARS, LedgerBrokenError, Retirement
from custody.steps import reached


@dataclass(frozen=True, kw_only=True, slots=True)
class Retired:
    """What was removed, or would be.

    Attributes:
        before: Entries from before this instant are past their retention.
        upto: The size of the checkpoint up to which they go; 0 where nothing does.
        entries: How many go now; others may have gone before.
    """

    before: datetime
    years: int
    upto: int
    entries: int


def retire_entries(
    custody: Custody, actor: Actor, owner: Engine, *, dry_run: bool = False
) -> Retired:
    """Remove the entries that are past their retention; nothing where there are none.

    1. The whole ledger is verified, against every checkpoint. 2. Those that are old enough, up to a
    checkpoint, are chosen. 3. In one transaction they go, and the ledger says so. 4. A checkpoint
    is kept of that.

    Args:
        custody: The installation.
        actor: Who asks for it.
        owner: The data database as its owner.
        dry_run: Only say what would go.

    Raises:
        LedgerBrokenError: The ledger is not as it was; nothing is removed.
        CheckpointContradictedError: It is not the one that a checkpoint is of; likewise.
        ChangedMeanwhileError: Somebody else removed them at the same time.
        WitnessUnreachableError: A witness is configured and does not answer; nothing is removed.
    """
    last = verify_ledger(custody, ()).retired
    gone = last.upto if last is not None else 0
    years = max(custody.policy.settings.log_retention_years, LEAST_YEARS)
    sizes = {known.head.size for known in known_heads(custody)}
    with transaction(owner) as connection:
        retiring.hold_tree(connection)
        old = retiring.old_entries(connection, years)
        upto = max((size for size in sizes if size <= old.upto), default=0)
        found = Retired(before=old.before, years=years, upto=upto, entries=max(upto - gone, 0))
        if found.entries and not dry_run:
            facts = _facts(connection, found, last)
            if retiring.remove_entries(connection, upto) != found.entries:
                raise ChangedMeanwhileError  # somebody else removed them
            reached("retire:entries-removed")
            seq = record(connection, custody, actor, "ledger:entries:retired", facts)
            _give_place(connection, seq)
    reached("retire:committed")
    if found.entries and not dry_run:
        keep_checkpoint(custody)
    return found


def _give_place(connection: Connection, seq: int) -> None:
    """Give an entry its place at once: nobody is to see the ledger without it.

    Raises:
        LedgerBrokenError: None is to be had, though nobody else holds the tree.
    """
    while tree.place_of(connection, seq) is None:
        if not tree.sequence(connection):
            head = tree.tree_head(connection)
            raise LedgerBrokenError(head.size, "an entry gets no place in the tree")


def _facts(connection: Connection, found: Retired, last: Retirement | None) -> dict[str, object]:
    """Return what the ledger is to say; read before anything goes.

    Of a stream that has nothing since the last retirement, that one says where it stood.
    """
    before = dict(last.streams) if last is not None else {}
    streams = before | retiring.last_numbers(connection, found.upto)
    return {
        "upto": found.upto,
        "entries": found.entries,
        "root": tree.roots_of(connection, [(0, found.upto)])[0].hex(),
        "streams": [[stream, number] for stream, number in sorted(streams.items())],
        "before": found.before.isoformat(),
        "years": found.years,
    }
