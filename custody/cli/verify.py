"""``custody verify``: recompute the control record, and compare its runs with Prefect's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.output import note, show
from custody.cli.session import opened, opened_with_prefect
from custody.errors import EXIT_FAULT, UsageError

if TYPE_CHECKING:
    from custody.note import Note


def verify(
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also open every wrapped key and every seal.")
    ] = False,
    prefect: Annotated[
        bool,
        typer.Option("--prefect", help="Also compare every run the ledger names with Prefect."),
    ] = False,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="Also compare one that was kept."),
    ] = None,
) -> None:
    """Recompute the control record; exit 1 names what is wrong.

    Every entry of the ledger, its tree and all checkpoints kept outside the database are checked,
    the policy versions, the quality suites and the certificates' signatures.
    """
    from custody.acts.verify import verify_installation

    given = [_read_note(path) for path in checkpoint or ()]
    open_it = opened_with_prefect if prefect else opened
    with open_it(to_look=True) as custody:
        note("verifying")
        verified = verify_installation(custody, deep=deep, given=given)
        document: dict[str, object] = {
            "ok": True,
            "entries": verified.ledger.head.size,
            "head": verified.ledger.head.root.hex(),
            "checkpoints": verified.ledger.checkpoints,
            "retired": retired.upto if (retired := verified.ledger.retired) else 0,
            "unplaced": verified.ledger.waiting.entries,
            "policies": verified.policies,
            "suites": verified.suites,
            "certificates": verified.certificates,
        }
        if deep:
            document |= {
                "keys": verified.keys,
                "records": verified.records,
                "seals": verified.seals,
            }
        if prefect:
            from tasks.history import compare_runs

            compared, differences = compare_runs(custody)
            document |= {"runs": compared, "ok": not differences, "differences": differences}
    show(document, "verified" if document["ok"] else "not_verified")
    if not document["ok"]:
        raise typer.Exit(EXIT_FAULT)


def _read_note(path: Path) -> "Note":
    from custody.note import parse_note

    try:
        written = path.read_bytes()
    except OSError:
        raise UsageError("cannot be read", str(path)) from None
    return parse_note(written)
