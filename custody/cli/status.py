"""``custody status`` and ``doctor``: what is held, what waits, what is running, what is wrong."""

from typing import TYPE_CHECKING

import typer

from custody.cli.output import show
from custody.cli.session import (
    load_settings,
    opened,
    reachable_prefect,
    require_begun,
    servers,
)
from custody.cli.signing import OWN_VARIABLES
from custody.embedded.errors import ServiceFailedError
from custody.errors import EXIT_FAULT

if TYPE_CHECKING:
    from config.settings import Settings
    from custody.acts.context import Custody
    from custody.acts.setup import Places
    from custody.embedded.finding import Finding
    from custody.embedded.health import Patient
    from custody.embedded.runtime import Running

Document = dict[str, object]


def status() -> None:
    """Show in counts what is held and what waits for somebody."""
    settings = load_settings()
    with opened() as custody:
        document = _held(custody)
    prefect = reachable_prefect(settings)
    show({**document, "prefect": prefect or ""})


def doctor() -> None:
    """Say what is running, reachable, misconfigured; exit 1 on failure."""
    from custody.embedded.finding import Status

    findings = _findings()
    rows = [
        {
            "what": one.name,
            "status": one.status.value,
            "detail": one.detail,
            "next": one.next_step,
        }
        for one in findings
    ]
    failed = sum(one.status is Status.FAIL for one in findings)
    show({"ok": not failed, "failed": failed, "findings": rows})
    if failed:
        raise typer.Exit(EXIT_FAULT)


def _held(custody: "Custody") -> Document:
    from custody.acts.overview import batches_of, overview
    from custody.acts.quarantine import list_quarantine
    from custody.acts.request_views import list_requests
    from custody.counts import count_codes
    from custody.database.engine import transaction
    from custody.database.holds import holds_on
    from custody.database.plans import list_plans
    from custody.database.tree import count_entries
    from custody.identifiers import INSTALLATION, show_id

    counts = overview(custody)
    with transaction(custody.data) as connection:
        holds, plans = holds_on(connection), list_plans(connection)
        entries = count_entries(connection)
    return {
        "installation": show_id(INSTALLATION, custody.installation_id),
        "synthetic": custody.synthetic,
        "zone": str(custody.zone),
        "policy": custody.policy.digest,
        "customers": counts.customers,
        "records": counts.records,
        "level_raised": counts.level_raised,
        "quarantined": len(list_quarantine(custody)),
        "holds": len(holds),
        "entries": entries,
        "datasets": dict(counts.datasets),
        "levels": dict(counts.levels),
        "batches": count_codes([one.state] for one in batches_of(custody)),
        "requests": count_codes([one.state] for one in list_requests(custody)),
        "plans": count_codes([one.state] for one in plans),
    }


def _findings() -> "list[Finding]":
    """Examine everything, also when the databases do not come up."""
    from custody.acts.setup import NotInitialisedError
    from custody.embedded.finding import Finding, Status
    from custody.embedded.health import Patient, examine

    try:
        require_begun(load_settings())
    except NotInitialisedError:  # the doctor makes nothing
        return examine(Patient(home=load_settings().home))
    try:
        with servers() as (settings, where):
            return examine(_patient(settings, where))
    except ServiceFailedError as error:
        home = load_settings().home
        failed = Finding(
            name=error.service, status=Status.FAIL, detail=error.why, next_step=error.log
        )
        return [failed, *examine(Patient(home=home))]


def _patient(settings: "Settings", where: "Running") -> "Patient":
    import os

    from config.installation import places, policy_folder
    from config.settings import unknown_variables
    from custody.embedded.access import authorization
    from custody.embedded.health import Patient
    from custody.embedded.home import Home
    from custody.keys.providers import open_keystore
    from custody.policy.load import load_policy

    parts = places(settings, where)

    def policy() -> str:
        return load_policy(policy_folder(settings)).digest

    def keystore() -> str:
        open_keystore(parts.keystore, parts.root)
        return str(parts.keystore)

    prefect = reachable_prefect(settings)
    return Patient(
        home=settings.home,
        database_url=where.database_url,
        keys_url=where.keys_url,
        prefect_api_url=prefect,
        prefect_authorization=authorization(Home.open(settings.home), prefect or "", os.environ),
        key_file=parts.root.key_file if _has_key_file(parts) else None,
        unknown_variables=unknown_variables(known=_known_variables()),
        loads={"policy": policy, "keystore": keystore},
    )


def _has_key_file(parts: "Places") -> bool:
    """Whether the root key lies in a file, as the keystore says, or else as is configured."""
    from custody.keys.document import kind_of
    from custody.keys.providers import provider_for
    from custody.keys.root import KeyFileProvider, RootUnavailableError

    try:
        kind = kind_of(parts.keystore)
    except RootUnavailableError:  # there is none yet, or the doctor says elsewhere what is wrong
        kind = provider_for(parts.root).kind
    return kind == KeyFileProvider.kind


def _known_variables() -> tuple[str, ...]:
    """Return variables read elsewhere: by people's commands, and by the policy's sources."""
    import re

    from config.installation import policy_folder
    from custody.errors import CustodyError
    from custody.policy.load import load_policy

    try:
        policy = load_policy(policy_folder(load_settings()))
    except CustodyError:  # the doctor says so elsewhere
        return OWN_VARIABLES
    named = [re.findall(r"\$\{(\w+)\}", one.location or "") for one in policy.sources.values()]
    return (*OWN_VARIABLES, *(name for names in named for name in names))
