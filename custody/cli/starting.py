"""``custody init``: databases, keys, a starting policy and the first two officers."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.manner import is_interactive
from custody.cli.output import note, show, text
from custody.cli.session import os_user, servers
from custody.cli.signing import PASSPHRASE_FILE, passphrase, private_folder
from custody.errors import UsageError

if TYPE_CHECKING:
    from config.settings import Settings
    from custody.acts.context import Custody
    from custody.acts.setup import Places
    from custody.embedded.runtime import Running
    from custody.policy.model import Policy

OFFICERS: Final = 2
DATABASES: Final = 2
OwnerUrls = Annotated[
    Path | None,
    typer.Option(help="For databases of your own: a file with the owner's two URLs, data first."),
]
_TEMPLATE: Final = "insurer"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Officer:
    """One of the first two officers, as named on the command line."""

    name: str
    department: str
    role: str = ""
    words: bytes = field(default=b"", repr=False)


def init(  # noqa: PLR0913 - what is fixed once
    *,
    template: Annotated[
        str | None, typer.Option(help="The starting policy: insurer (the default) or retail.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="For invented people only; plans may look ahead.")
    ] = False,
    zone: Annotated[
        str, typer.Option(help="The zone in which days are counted; fixed for good.")
    ] = "Asia/Shanghai",
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="Wrap the root key under the passphrase in this file, not a key file."),
    ] = None,
    officer: Annotated[
        list[str] | None,
        typer.Option(help="One of the first two officers, NAME:DEPARTMENT[:ROLE]; give two."),
    ] = None,
    key_dir: Annotated[
        Path | None, typer.Option(help="Where their key files go; by default people in the home.")
    ] = None,
    person_passphrase_file: Annotated[
        Path | None,
        typer.Option(envvar=PASSPHRASE_FILE, help="Their passphrases, one a line."),
    ] = None,
    owner_urls: OwnerUrls = None,
) -> None:
    """Create the installation and its first two officers.

    Databases are started and migrated, keys made, a starting policy written. Nothing is
    overwritten: neither an installation, nor a policy, nor a key.
    """
    from config.installation import open_with

    officers = _officers(officer or [], person_passphrase_file)
    with servers() as (settings, where):
        chosen = _with_passphrase(settings, passphrase_file)
        migrate_databases(where, owner_urls)
        _require_none_yet(where)
        policy, folder = _policy(chosen, template)
        pairs = [(one, _role(policy, one)) for one in officers]
        shown = _create(chosen, where, policy, synthetic=synthetic, zone=zone)
        custody = open_with(chosen, where)
        keys = private_folder(key_dir or chosen.home / "people")
        people = [_enrol(custody, one, role, keys) for one, role in pairs]
    document = {"installation": shown, "home": chosen.home, "policy": folder, "zone": zone}
    show({**document, "synthetic": synthetic, "officers": people}, "initialised")
    if passphrase_file is not None:
        note("remember_passphrase_file", path=str(passphrase_file.absolute()))


def migrate(
    *,
    owner_urls: OwnerUrls = None,
) -> None:
    """Bring the databases to this version of custody; running it again changes nothing."""
    from custody.database.migrate import DATA, KEYS, pending

    with servers() as (_, where):
        migrate_databases(where, owner_urls)
        data, _ = pending(where.database_url, DATA)
        keys, _ = pending(where.keys_url, KEYS)
    show({"data": data, "keys": keys}, "migrated")


def urls_of_owner(where: "Running", owner_urls: Path | None) -> tuple[str, str] | None:
    """Return where data and keys are reached as their owner; None where nobody says so.

    Raises:
        UsageError: The file does not hold two URLs.
    """
    if owner_urls is not None:
        urls = owner_urls.read_text(encoding="utf-8").split()
        if len(urls) != DATABASES:
            raise UsageError("two URLs, data then keys, belong into", owner_urls.name)
        return urls[0], urls[1]
    if where.owner_url and where.keys_owner_url:
        return where.owner_url, where.keys_owner_url
    return None


def migrate_databases(where: "Running", owner_urls: Path | None = None) -> None:
    """Bring the databases to this version, as their owner.

    Raises:
        UsageError: They are not ours to migrate and are not up to date.
    """
    from custody.database.migrate import DATA, KEYS, migrate, pending

    owners = urls_of_owner(where, owner_urls)
    if owners is not None:
        migrate(*owners)
    else:
        for url, which in ((where.database_url, DATA), (where.keys_url, KEYS)):
            present, wanted = pending(url, which)
            if present != wanted:
                raise UsageError("not migrated yet; give custody init --owner-urls", which)


def _with_passphrase(settings: "Settings", file: Path | None) -> "Settings":
    if file is None:
        return settings
    return settings.model_copy(update={"passphrase_file": file.absolute()})


def _officers(given: list[str], passphrases: Path | None) -> list[_Officer]:
    """Return the first two officers, asked for where somebody sits at the terminal.

    Everything is asked before anything is made, so that an answer that is missing leaves nothing.
    """
    if len(given) not in {0, OFFICERS} or not (given or is_interactive()):
        raise UsageError("name the first two officers: --officer NAME:DEPARTMENT, twice")
    named = [_officer(one) for one in given] or [_ask_officer(turn) for turn in (1, 2)]
    return [
        replace(one, words=passphrase(passphrases, who=one.name, line=turn, new=True))
        for turn, one in enumerate(named)
    ]


def _ask_officer(turn: int) -> _Officer:
    name = typer.prompt(text("ask_officer_name", number=turn), err=True)
    return _Officer(name=name, department=typer.prompt(text("ask_officer_department"), err=True))


def _officer(given: str) -> _Officer:
    name, department, role, *more = [*given.split(":"), "", ""]
    if not (name.strip() and department.strip()) or any(more):
        raise UsageError("an officer is given as NAME:DEPARTMENT[:ROLE]")
    return _Officer(name=name.strip(), department=department.strip(), role=role.strip())


def _require_none_yet(where: "Running") -> None:
    from custody.database.engine import make_engine, transaction
    from custody.database.installation import find_installation

    engine = make_engine(where.database_url)
    try:
        with transaction(engine) as connection:
            found = find_installation(connection)
    finally:
        engine.dispose()
    if found is not None:
        raise UsageError("these databases hold an installation already")


def _policy(chosen: "Settings", template: str | None) -> tuple["Policy", Path]:
    """Return the policy, written from a template unless the firm has one."""
    from custody.policy.load import load_policy
    from custody.policy.template import write_template

    folder = chosen.policy or chosen.home / "policy"
    if template is not None or not list(folder.glob("*.yaml")):
        write_template(template or _TEMPLATE, folder)
    return load_policy(folder), folder


def _create(
    chosen: "Settings", where: "Running", policy: "Policy", *, synthetic: bool, zone: str
) -> str:
    from config.installation import now, places
    from custody.acts.setup import create_installation
    from custody.identifiers import INSTALLATION, show_id

    parts: Places = places(chosen, where)
    for folder in (parts.keystore.parent, parts.root.key_file.parent, parts.outbox):
        private_folder(folder)
    identifier = create_installation(parts, policy, os_user(), now, synthetic=synthetic, zone=zone)
    return show_id(INSTALLATION, identifier)


def _role(policy: "Policy", officer: _Officer) -> str:
    """Return the officer's role: the named one, or that which may do most among those who enrol."""
    from custody.acts.staff import OFFICER

    if officer.role:
        return policy.role(officer.role).name
    enrolling = [role for role in policy.roles.values() if OFFICER in role.may]
    if not enrolling:
        raise UsageError("no role of the policy may", OFFICER)
    return max(enrolling, key=lambda role: len(role.may)).name


def _enrol(custody: "Custody", officer: _Officer, role: str, folder: Path) -> dict[str, object]:
    from custody.acts.staff import add_staff, enrol
    from custody.identifiers import STAFF, show_id
    from custody.keys.person import create_person_key

    actor = os_user()
    staff_id = add_staff(
        custody, actor, name=officer.name, department=officer.department, role=role
    )
    shown = show_id(STAFF, staff_id)
    path = folder / f"{shown}.key"
    key = create_person_key(path, officer.words)
    enrol(custody, actor, staff_id, key.public, None)
    return {"staff": shown, "name": officer.name, "role": role, "key": str(path)}
