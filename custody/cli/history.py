"""``custody history``: the flow runs as the ledger has them, and pruning what Prefect keeps."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, opened_with_prefect, os_user
from custody.errors import Reason, RefusedError

if TYPE_CHECKING:
    from custody.database.ledger import RunEntry

Document = dict[str, object]

app = Group("history", "Look at flow runs as the ledger has them; prune Prefect's own history.")
# Network logs are kept for six months at least (G1), and Prefect's logs go with its runs.
FEWEST_DAYS: Final = 183


@app.offers("list")
def list_runs(
    flow: Annotated[str, typer.Option(help="Only runs of this flow.")] = "",
    newest: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
) -> None:
    """List flow runs: who started them, with which code, how they ended, what they did.

    Prefect is not asked: what it keeps can be changed and pruned.
    """
    from custody.acts.history import runs_in_ledger

    with opened(to_look=True) as custody:
        runs = [one for one in runs_in_ledger(custody) if flow in {"", one.flow}]
    show({"known": len(runs), "runs": [_run(one) for one in runs[-newest:]]})


@app.offers("prune")
def prune(
    older_than: Annotated[
        int, typer.Option("--older-than", min=0, help="Days since a run ended; 183 at least.")
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and remove nothing.")
    ] = False,
) -> None:
    """Remove from Prefect runs whose end the ledger holds; what differs stays.

    The ledger keeps them. Logs and pages of these runs go with them.
    """
    with opened_with_prefect() as custody:
        if older_than < FEWEST_DAYS and not custody.synthetic:
            reason = Reason(code="log_retention_too_short", about=f"{FEWEST_DAYS} days")
            raise RefusedError("history", (reason,))
        from tasks.history import prune_runs

        pruned, kept = prune_runs(custody, os_user(), older_than, dry_run=dry_run)
    document: Document = {"pruned": pruned, "kept": kept, "dry_run": dry_run}
    show(document, "would_prune" if dry_run else "pruned")


def _run(one: "RunEntry") -> Document:
    return {
        "run": one.run_id,
        "flow": one.flow,
        "state": one.state,
        "how": one.how,
        "actor": one.actor,
        "started_at": one.started_at.isoformat(timespec="seconds") if one.started_at else "",
        "ended_at": one.ended_at.isoformat(timespec="seconds") if one.ended_at else "",
        "code": one.facts.get("code", ""),
        "acts": sum(_counts(one)),
    }


def _counts(one: "RunEntry") -> Iterator[int]:
    acts = one.facts.get("acts", {})
    yield from (int(number) for number in acts.values())
