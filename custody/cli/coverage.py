"""``custody coverage`` and ``rekey``: how everything is sealed, and sealing it again."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.output import note, show
from custody.cli.session import opened, os_user
from custody.errors import EXIT_QUALITY

if TYPE_CHECKING:
    from custody.acts.context import Custody

Document = dict[str, object]
Listed = Annotated[
    int | None,
    typer.Option("--list", min=0, help="How many that are amiss to name; otherwise 1,000."),
]


def coverage(
    listed: Listed = None,
) -> None:
    """Count every seal by dataset, compartment, suite and key generation; list what is amiss.

    Exit 5 where anything is not sealed as the policy wants it.
    """
    with opened(to_look=True) as custody:
        document = coverage_document(custody, listed)
    show(document, "covered" if document["ok"] else "not_covered")
    if not document["ok"]:
        raise typer.Exit(EXIT_QUALITY)


def rekey(
    *,
    to: Annotated[
        str | None,
        typer.Option(help="The suite, such as sm4-gcm; by default the one the policy wants."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to do and change nothing.")
    ] = False,
    in_clear: Annotated[
        bool,
        typer.Option("--in-clear", help="Also seal what lies there unsealed; look at it first."),
    ] = False,
    pause: Annotated[
        int, typer.Option(min=0, help="Milliseconds to wait between chunks of 2,000 records.")
    ] = 0,
    listed: Listed = None,
) -> None:
    """Seal again, in place and while others work, what is not under the policy's suite.

    It can be interrupted and run again. What does not open stays as it is and is listed.
    Afterwards `custody keys turn --all` wraps the keys too.
    """
    from custody.acts import rekey as rekeying
    from custody.suites import suite_named

    with opened() as custody:
        suite = custody.suite if to is None else suite_named(to)
        rekeying.require_wanted(custody, suite)
        done = rekeying.RekeyReceipt()
        if not dry_run:
            note("rekeying")
            steps = rekeying.rekey(
                custody, os_user(), suite, pause_seconds=pause / 1000, in_clear=in_clear
            )
            done = rekeying.total(steps)
        document = coverage_document(custody, listed)
    counts = {
        "records": done.records,
        "seals_renewed": done.seals,
        "unsealed": done.unsealed,
        "unreadable": done.unreadable,
    }
    show({**counts, "dry_run": dry_run, **document}, "covered" if document["ok"] else "not_covered")
    if not (dry_run or document["ok"]):
        raise typer.Exit(EXIT_QUALITY)


def coverage_document(custody: "Custody", listed: int | None) -> Document:
    """Return the coverage as a document."""
    from custody.acts.coverage import coverage as cover

    found = cover(custody) if listed is None else cover(custody, listed)
    return {
        "ok": found.is_whole,
        "suite": found.suite,
        "seals": found.seals,
        "wanted": found.wanted,
        "amiss": found.seals - found.wanted,
        "listed": len(found.stray),
        "coverage": [
            {
                "dataset": line.dataset,
                "level": line.level,
                "suite": line.suite,
                "generation": line.generation,
                "seals": line.seals,
                "as_wanted": line.wanted,
            }
            for line in found.lines
        ],
        "stray": [asdict(one) for one in found.stray],
    }
