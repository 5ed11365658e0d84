"""What the fault tests share: installations that can be copied, and what is done with them.

A **site** is a pair of databases and a folder with keystore and root key. Copies of one site have
the same keys, so tags of the same person are equal in all of them; identifiers are random in each.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from own_databases import (
    TEMPLATE_DATA,
    TEMPLATE_KEYS,
    Databases,
    create_database,
    drop_databases,
    urls_of,
)
from sqlalchemy.engine import make_url

from custody.acts.batches import close_batch, open_batch
from custody.acts.certify import certify_destruction, verify_absence
from custody.acts.context import Actor, Custody
from custody.acts.destroy import claim_plan, erase_chunk
from custody.acts.planning import Scope, plan_destruction
from custody.acts.setup import Places, close_custody, create_installation, open_custody
from custody.acts.store import finish_store, store_chunks
from custody.acts.taking import take_chunks
from custody.database.batches import Batch
from custody.database.plans import Certificate, Plan
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys.providers import RootPlace
from custody.outside.places import in_folders
from custody.policy.load import load_policy
from custody.policy.model import Policy

ROOT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 12, tzinfo=ZONE)
TODAY = NOW.date()
TESTER = Actor(how="os-user", name="tester")
CHUNK_ROWS = 5
_numbers = count(1)


@cache
def example_policy() -> Policy:
    """Return the example policy, with a source of contracts in a file beside it."""
    policy = load_policy(ROOT / "config" / "policy")
    contracts = replace(
        policy.source("legacy_customers"), name="contract_customers", purpose="legacy_contract"
    )
    return replace(policy, sources={**policy.sources, contracts.name: contracts})


@dataclass(frozen=True, kw_only=True)
class Site:
    """An installation: its databases, and the folder of its keys."""

    databases: Databases
    folder: Path

    @property
    def places(self) -> Places:
        """Where the parts are."""
        return Places(
            data_url=self.databases.app_url,
            keys_url=self.databases.keys_url,
            keystore=self.folder / "keystore.json",
            root=RootPlace(key_file=self.folder / "root.key"),
            outbox=self.folder / "outbox",
            outside=in_folders(self.folder / "checkpoints", self.folder),
        )

    @contextmanager
    def opened(
        self, clock: Callable[[], datetime] = lambda: NOW, *, chunk_rows: int = CHUNK_ROWS
    ) -> Iterator[Custody]:
        """Open the installation with engines of its own."""
        custody = open_custody(self.places, example_policy(), clock, chunk_rows=chunk_rows)
        try:
            yield custody
        finally:
            close_custody(custody)


def new_site(
    databases: Databases,
    folder: Path,
    *,
    synthetic: bool = True,
    clock: Callable[[], datetime] = lambda: NOW,
) -> Site:
    """Create an installation."""
    folder.mkdir(exist_ok=True)
    site = Site(databases=databases, folder=folder)
    create_installation(site.places, example_policy(), TESTER, clock, synthetic=synthetic)
    return site


@contextmanager
def founded(server: EmbeddedPostgres, folder: Path, **how: object) -> Iterator[Site]:
    """Create an installation on migrated databases of its own, and drop it at the end."""
    number = next(_numbers)
    data, keys = f"fault_data_{number}", f"fault_keys_{number}"
    create_database(server, data, TEMPLATE_DATA)
    create_database(server, keys, TEMPLATE_KEYS)
    try:
        yield new_site(urls_of(server.endpoints, data, keys), folder / f"site_{number}", **how)
    finally:
        drop_databases(server, data, keys)


@contextmanager
def copied(server: EmbeddedPostgres, site: Site, folder: Path) -> Iterator[Site]:
    """Copy a site that nobody is connected to, and drop the copy at the end."""
    number = next(_numbers)
    data, keys = f"copy_data_{number}", f"copy_keys_{number}"
    home = folder / f"copy_{number}"
    shutil.copytree(site.folder, home)
    create_database(server, data, _name(site.databases.app_url))
    create_database(server, keys, _name(site.databases.keys_url))
    try:
        yield Site(databases=urls_of(server.endpoints, data, keys), folder=home)
    finally:
        drop_databases(server, data, keys)
        shutil.rmtree(home)


def take_keystore(site: Site, copy: Site) -> None:
    """Give a copy the keys that its site has by now."""
    for name in ("keystore.json", "root.key"):
        shutil.copyfile(site.folder / name, copy.folder / name)


def _name(url: str) -> str:
    return str(make_url(url).database)


def take_in(custody: Custody, source: str, path: Path) -> Batch:
    """Ingest a file to its end; safe to run again."""
    batch = open_batch(custody, TESTER, source, str(path))
    take_chunks(custody, TESTER, batch, range(batch.chunks), str(path))
    close_batch(custody, TESTER, batch.id)
    return batch


def put_away(custody: Custody, batch: Batch) -> None:
    """Store an ingested batch to its end; safe to run again."""
    store_chunks(custody, TESTER, batch, range(batch.chunks))
    finish_store(custody, TESTER, batch.id)


def destroy(custody: Custody, plan: Plan) -> Certificate | None:
    """Apply a plan to its end; safe to run again."""
    chunks = claim_plan(custody, TESTER, plan.id)
    for chunk in chunks:
        erase_chunk(custody, TESTER, plan.id, chunk)
    if not chunks:
        return None
    return certify_destruction(custody, TESTER, verify_absence(custody, TESTER, plan.id))


def plan_all(custody: Custody, customer_id: UUID | None = None) -> Plan:
    """Plan what is due today, or all of a customer."""
    return plan_destruction(custody, TESTER, Scope(as_of=custody.today(), customer_id=customer_id))
