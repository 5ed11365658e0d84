"""``custody keys``: how the keys stand, and what makes erasures final."""

from dataclasses import asdict
from typing import Annotated

import typer

from custody.cli.asking import read_day
from custody.cli.groups import Group
from custody.cli.output import note, show
from custody.cli.session import opened, os_user
from custody.errors import EXIT_QUALITY

app = Group("keys", "Keys: how they stand, rotate the root, turn what was erased into noise.")


@app.offers("status")
def status() -> None:
    """Show generations, and in which periods keys were deleted since their last turn."""
    from custody.acts.keeping import key_standing
    from custody.acts.retagging import tag_standing

    with opened(to_look=True) as custody:
        standing = key_standing(custody)
        tags = tag_standing(custody)
        suite = custody.suite.name
    show(
        {
            "provider": standing.provider,
            "suite": suite,
            "root": standing.root,
            "rotation_under_way": standing.rotation_under_way,
            "entries": standing.entries,
            "periods": [
                {
                    "period": one.period,
                    "buckets": one.buckets,
                    "dirty": one.dirty,
                    "closed": one.closed,
                    "keys": one.keys,
                }
                for one in standing.buckets
            ],
            "wrapped_keys": [asdict(one) for one in standing.wrapped],
            "periods_to_end": list(standing.to_end),
            "identity_tags": asdict(tags),
        }
    )


@app.offers("rotate")
def rotate() -> None:
    """Give the keystore a new root key and destroy the old one at its provider."""
    from custody.acts.keeping import rotate_root

    with opened() as custody:
        rotation = rotate_root(custody, os_user())
    show({"root": rotation.generation, "entries": rotation.kept}, "root_rotated")


@app.offers("close-period")
def close_period(
    period: Annotated[str, typer.Argument(help="The expiry period, such as 2027Q4.")],
) -> None:
    """End an expiry period that is over: destroy its keys, whatever the number of customers.

    What is held moves on first; what is due and not held must have been destroyed by a plan.
    """
    from custody.acts.period_end import close_period as close

    with opened() as custody:
        note("closing_period")
        receipt = close(custody, os_user(), period)
    document = {"period": period, "keys": receipt.keys, "destroyed": receipt.destroyed}
    show({**document, "root": receipt.root}, "period_closed")


@app.offers("backup-horizon")
def backup_horizon(
    oldest: Annotated[
        str,
        typer.Argument(help="The day of the oldest backup of keystore and root key, YYYY-MM-DD."),
    ],
) -> None:
    """Show which acts of destruction a backup of the keystore of that day would undo.

    With backups of both databases it opens what lay under the keys that went since. Acts before
    that day are final. Exit 5 where there is any: those backups are to be destroyed.
    """
    from custody.acts.keeping import undone_by_backup

    day = read_day(oldest)
    with opened(to_look=True) as custody:
        undone = undone_by_backup(custody, day)
    document = {"oldest": day, "undone": [asdict(one) for one in undone]}
    show(document, "backups_undo" if undone else "backups_undo_nothing")
    if undone:
        raise typer.Exit(EXIT_QUALITY)


@app.offers("turn")
def turn(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Turn every bucket, not only those with deleted keys.")
    ] = False,
) -> None:
    """Wrap the surviving keys anew where keys were deleted, and destroy the old wrapping keys.

    From then on no copy of both databases from before opens what was erased, but for rows that
    retention took from under a key that others stay under: they end with their period. A copy
    from when the row was in intake or quarantine opens until the key of that day goes: with the
    first turn after it that finds nothing of that day there any more.
    """
    from custody.acts.turning import turn_keys

    with opened() as custody:
        note("turning")
        receipt = turn_keys(custody, os_user(), everything=everything)
    if receipt is None:
        show({"buckets": 0, "keys": 0, "other_keys": 0, "destroyed": 0}, "nothing_to_turn")
        return
    document = {"buckets": receipt.buckets, "keys": receipt.keys, "other_keys": receipt.others}
    show({**document, "destroyed": receipt.destroyed, "root": receipt.root}, "turned")


@app.offers("retag")
def retag(
    *,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only if the year is over, or one was cut off.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the tags stand and change nothing.")
    ] = False,
) -> None:
    """Make every identity tag anew under a new key, and destroy the old key.

    The old key then finds nobody in copies of the database made from now on. Everything else goes
    on meanwhile; interrupted, it is simply run again.
    """
    from custody.acts.retagging import renew_tags, tag_standing

    with opened(to_look=dry_run) as custody:
        standing = tag_standing(custody)
        if dry_run or (if_due and not standing.due):
            show(asdict(standing), "tags_stand")
            return
        note("retagging")
        receipt = renew_tags(custody, os_user())
    show(asdict(receipt), "retagged")
