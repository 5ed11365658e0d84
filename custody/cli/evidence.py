"""``custody evidence``: take evidence out of the ledger, for somebody who trusts nobody."""

import subprocess
import sys
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, os_user
from custody.errors import EXIT_FAULT, UsageError

app = Group("evidence", "Evidence packages: export, verify.")


@app.offers("export")
def export(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The zip to write; it must not exist.")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="The first day, YYYY-MM-DD.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The last day, YYYY-MM-DD.")
    ] = None,
    subject: Annotated[str, typer.Option(metavar="CUSTOMER", help="cust_…")] = "",
    request: Annotated[str, typer.Option(metavar="REQUEST", help="req_…")] = "",
    certificate: Annotated[str, typer.Option(metavar="CERTIFICATE", help="cert_…")] = "",
) -> None:
    """Write what the ledger says of some days, or of one thing, with proofs and a verifier.

    What a package shows can be checked anywhere with Python and the library cryptography; nothing
    of anybody else's is in it but hashes. Keep the manifest's digest that is printed.
    """
    from custody.acts.evidence import Scope, export_evidence

    about = [one for one in (subject, request, certificate) if one]
    if len(about) > 1:
        raise UsageError("one of --subject, --request, --certificate")
    scope = Scope(since=_day(since), until=_day(until), about=about[0] if about else "")
    with opened() as custody:
        done = export_evidence(custody, os_user(), scope, out)
    show(
        {
            "file": out,
            "entries": done.entries,
            "parts": done.parts,
            "certificates": done.certificates,
            "ledger_size": done.size,
            "manifest": done.digest,
        },
        "evidence_written",
    )


@app.offers("verify")
def verify(
    package: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote.")],
    key: Annotated[str, typer.Option(help="The log key as you know it.")] = "",
    witness: Annotated[str, typer.Option(help="The witness's key as you know it.")] = "",
) -> None:
    """Check a package as anybody can, by the verifier that goes with it, in its own process.

    Without --key this installation's own is taken; where there is none, --key is needed.
    """
    if not key:
        from custody.acts.checkpoints import log_key

        with opened(to_look=True) as custody:
            key = str(log_key(custody))
    program = str(files("custody.evidence") / "verify.py")
    given = ["--key", key, *(("--witness", witness) if witness else ())]
    done = subprocess.run(  # noqa: S603 - our own verifier
        [sys.executable, "-I", program, str(package), *given],
        check=False,
        capture_output=True,
        text=True,
    )
    said = dict(line.partition(": ")[::2] for line in done.stdout.splitlines())
    show({"ok": done.returncode == 0, **said}, "evidence_good" if not done.returncode else "")
    if done.returncode:
        raise typer.Exit(EXIT_FAULT)


def _day(shown: str | None) -> date | None:
    if shown is None:
        return None
    try:
        return datetime.strptime(shown, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError("a day is written YYYY-MM-DD", shown) from None
