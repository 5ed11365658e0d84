"""``custody verify``: recompute the control record, and compare its runs with Prefect's."""

from typing import Annotated

import typer

from custody.cli.output import note, show
from custody.cli.session import opened, opened_with_prefect
from custody.errors import EXIT_FAULT


def verify(
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also open every wrapped key and every seal.")
    ] = False,
    prefect: Annotated[
        bool,
        typer.Option("--prefect", help="Also compare every run the ledger names with Prefect."),
    ] = False,
) -> None:
    """Recompute the control record; exit 1 names what is wrong.

    The ledger's chain, the policy versions and the certificates' signatures are checked.
    """
    from custody.acts.verify import verify_installation

    open_it = opened_with_prefect if prefect else opened
    with open_it(to_look=True) as custody:
        note("verifying")
        verified = verify_installation(custody, deep=deep)
        document: dict[str, object] = {
            "ok": True,
            "entries": verified.entries,
            "head": verified.head.hash.hex(),
            "policies": verified.policies,
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
