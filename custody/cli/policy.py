"""``custody policy``: check the firm's policy documents, and show what they come to."""

from pathlib import Path
from typing import Annotated

import typer

from custody.cli.groups import Group
from custody.cli.manner import manner
from custody.cli.output import show
from custody.cli.session import load_settings

app = Group("policy", "Check and show the policy.")
FolderArgument = Annotated[
    Path | None, typer.Argument(help="The policy's folder; by default the one in use.")
]


@app.offers("check")
def check(folder: FolderArgument = None) -> None:
    """Read every document strictly and report all problems at once, as file:line:column."""
    from custody.policy.load import load_policy

    policy = load_policy(_folder(folder))
    counts = {
        name: len(getattr(policy, name))
        for name in ("documents", "datasets", "purposes", "sources", "recipients", "roles", "rules")
    }
    show({"digest": policy.digest, **counts}, "policy_sound")


@app.offers("show")
def show_policy(
    folder: FolderArgument = None,
    *,
    section: Annotated[
        str | None, typer.Option(help="Only this table: datasets, fields, purposes, …")
    ] = None,
) -> None:
    """Show the policy as tables: datasets, fields, purposes, sources, recipients, roles, rules."""
    from custody.errors import UsageError
    from custody.policy.load import load_policy
    from custody.policy.show import render_policy

    tables = render_policy(load_policy(_folder(folder)), manner().lang)
    if section is not None and section not in tables:
        raise UsageError(f"no such section; known are {', '.join(tables)}", section)
    show({name: rows for name, rows in tables.items() if section in {None, name}})


def _folder(folder: Path | None) -> Path:
    from config.installation import policy_folder

    return folder or policy_folder(load_settings())
