"""``custody ledger``: retention of the record itself."""

from typing import Annotated

import typer

from custody.cli.groups import Group
from custody.cli.output import note, show
from custody.cli.session import installation, load_settings, os_user, require_begun, servers
from custody.cli.starting import OwnerUrls, urls_of_owner
from custody.errors import UsageError

app = Group("ledger", "Keep the record itself no longer than the policy says.")


@app.offers("retire")
def retire(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and remove nothing.")
    ] = False,
    owner_urls: OwnerUrls = None,
) -> None:
    """Remove entries older than the policy's log_retention_years, up to a checkpoint.

    The ledger is verified first, and says what went. The leaves stay: the tree keeps its root, and
    every proof and checkpoint verifies as before. Once a year is often enough.
    """
    from custody.acts.retiring import retire_entries
    from custody.database.engine import make_engine

    require_begun(load_settings())
    with servers() as (settings, where):
        owners = urls_of_owner(where, owner_urls)
        if owners is None:
            raise UsageError("only the owner of the database removes entries; give --owner-urls")
        with installation(settings, where) as custody:
            note("verifying")
            owner = make_engine(owners[0])
            try:
                done = retire_entries(custody, os_user(), owner, dry_run=dry_run)
            finally:
                owner.dispose()
    document: dict[str, object] = {
        "entries": done.entries,
        "upto": done.upto,
        "before": done.before.isoformat(timespec="seconds"),
        "years": done.years,
        "dry_run": dry_run,
    }
    said = "retired" if done.entries else "nothing_to_retire"
    show(document, "would_retire" if done.entries and dry_run else said)
