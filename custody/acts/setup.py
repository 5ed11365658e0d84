"""Creating an installation, and opening one: what is fixed once, and what every process needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine

from custody.acts.context import Actor, Custody
from custody.acts.policy import remember_policy
from custody.acts.recording import record
from custody.database import installation as tables
from custody.database.engine import make_engine, transaction
from custody.database.installation import Installation
from custody.errors import UsageError
from custody.identifiers import INSTALLATION, random_id, show_id
from custody.keys.keyring import Keyring
from custody.keys.keystore import Keystore, create_keystore
from custody.keys.providers import RootPlace, open_keystore, provider_for
from custody.outside.places import Outside
from custody.policy.model import Policy
from custody.policy.parse import parse_policy

DEFAULT_ZONE = "Asia/Shanghai"


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where an installation's parts are.

    Attributes:
        data_url: The data database, as the application's role.
        keys_url: The key database, as the application's role.
        keystore: The file of wrapped keys.
        root: Where the root key is kept.
        outbox: The folder into which packages are delivered.
        outside: Where checkpoints of the ledger are kept.
    """

    data_url: str = field(repr=False)
    keys_url: str = field(repr=False)
    keystore: Path
    root: RootPlace
    outbox: Path
    outside: Outside


class NotInitialisedError(UsageError):
    """The databases hold no installation yet."""


def create_installation(
    places: Places,
    policy: Policy,
    actor: Actor,
    clock: Callable[[], datetime],
    *,
    synthetic: bool,
    zone: str = DEFAULT_ZONE,
) -> UUID:
    """Create the installation: its identifier, its keystore, its first ledger entry.

    Raises:
        UsageError: There is one already, or the zone is unknown.
    """
    _zone(zone)
    data = make_engine(places.data_url)
    with transaction(data) as connection:
        if tables.find_installation(connection) is not None:
            raise UsageError("these databases hold an installation already")
    installation = Installation(id=random_id(), created_at=clock(), synthetic=synthetic, zone=zone)
    suite = policy.settings.suite
    provider = provider_for(places.root, suite=suite)
    keystore = create_keystore(places.keystore, installation.id, provider, suite)
    custody = _assemble(places, policy, clock, installation, data, keystore)
    with transaction(data) as connection:
        tables.add_installation(connection, installation)
        remember_policy(connection, custody)
        facts = {
            "installation": show_id(INSTALLATION, installation.id),
            "synthetic": int(synthetic),
            "zone": zone,
        }
        record(connection, custody, actor, "installation:created", facts)
    close_custody(custody)
    return installation.id


def open_custody(
    places: Places,
    policy: Policy,
    clock: Callable[[], datetime],
    *,
    environment: Mapping[str, str] | None = None,
    chunk_rows: int = 10_000,
) -> Custody:
    """Open the installation.

    Raises:
        NotInitialisedError: There is none yet.
        RootUnavailableError: Its keys cannot be opened.
    """
    data = make_engine(places.data_url)
    with transaction(data) as connection:
        installation = tables.find_installation(connection)
    if installation is None:
        raise NotInitialisedError("no installation here yet: run custody init")
    keystore = open_keystore(places.keystore, places.root, policy.settings.suite)
    return _assemble(
        places,
        policy,
        clock,
        installation,
        data,
        keystore,
        environment=environment or {},
        chunk_rows=chunk_rows,
    )


def last_policy(data_url: str) -> Policy | None:
    """Return the policy that was used last, as it was stored, None where none was ever used."""
    engine = make_engine(data_url)
    try:
        with transaction(engine) as connection:
            there = tables.find_installation(connection) is not None
            documents = tables.policy_used_last(connection) if there else None
    finally:
        engine.dispose()
    return parse_policy(documents) if documents else None


def close_custody(custody: Custody) -> None:
    """Close the installation's connections."""
    custody.data.dispose()
    custody.keyring.close()


def _assemble(  # noqa: PLR0913 - the parts of one value
    places: Places,
    policy: Policy,
    clock: Callable[[], datetime],
    installation: Installation,
    data: Engine,
    keystore: Keystore,
    *,
    environment: Mapping[str, str] | None = None,
    chunk_rows: int = 10_000,
) -> Custody:
    return Custody(
        installation_id=installation.id,
        synthetic=installation.synthetic,
        zone=_zone(installation.zone),
        data=data,
        keyring=Keyring(
            installation.id, make_engine(places.keys_url), keystore, policy.settings.suite
        ),
        policy=policy,
        clock=clock,
        outbox=places.outbox,
        outside=places.outside,
        environment=environment or {},
        chunk_rows=chunk_rows,
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError("no such time zone", name) from None
