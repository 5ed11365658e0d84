"""A small firm that is founded once and copied for each test; commands are told what day it is.

Five customers with a transaction each that falls due in ``PERIOD``, a stranger's transaction in
quarantine, and a batch that waits in the intake area. There is no Prefect: its people come by acts.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cli_firm import call
from own_databases import (
    TEMPLATE_DATA,
    TEMPLATE_KEYS,
    Databases,
    create_database,
    drop_databases,
    urls_of,
)
from small_firm import consents_csv, customers_csv
from sqlalchemy import text
from sqlalchemy.engine import make_url

from custody.acts import consent_rows, examining
from custody.acts.batches import close_batch, open_batch
from custody.acts.context import Actor
from custody.acts.sealing import open_records
from custody.acts.setup import Places, create_installation
from custody.acts.taking import take_chunks
from custody.cli.session import opened
from custody.client import Client
from custody.database.engine import transaction
from custody.database.records import records_after
from custody.embedded.postgres import EmbeddedPostgres
from custody.gates import GateSuite
from custody.keys.providers import RootPlace
from custody.outside.places import in_folders
from custody.policy.load import load_policy
from custody.quality import Verdict
from custody.record import RecordRow, encode_payload

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Asia/Shanghai"))
PERIOD = "2026Q4"
PEOPLE = 5
TESTER = Actor(how="os-user", name="tester")
NOTHING_WRONG = Verdict(
    blocking={},
    warnings={},
    findings=(),
    suite=GateSuite(stage="ingest", dataset="", checks=()),
    digest="",
)
HEADER = "交易号,客户号,交易日期,金额,币种\n"
# Kept for five years: until 10 December 2026.
DUE_IN_PERIOD = HEADER + "".join(
    f"T{number},K90000{number},2021-12-10,1{number}.00,CNY\n" for number in range(1, PEOPLE + 1)
)
OF_A_STRANGER = HEADER + "T8,K999999,2025-01-05,8.00,CNY\n"
WAITING = HEADER + "T9,K900001,2025-01-06,9.00,CNY\n"
_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One test's own firm.

    Attributes:
        days: What its commands take for the present instant: the last of these.
    """

    home: Path
    databases: Databases
    days: list[datetime] = field(default_factory=lambda: [NOW])

    @property
    def keystore(self) -> Path:
        return self.home / "keys" / "keystore.json"

    def tell(self, code: int, *arguments: str) -> dict[str, Any]:
        """Run a command; it must end so, and say one JSON document and nothing else."""
        outcome = call(*arguments, "--json")
        assert outcome.code == code, outcome.out + outcome.err
        assert outcome.err == ""
        return dict(outcome.json)

    def want(self, suite: str) -> None:
        """Have the policy want another suite."""
        settings = self.home / "policy" / "settings.yaml"
        said = settings.read_text(encoding="utf-8")
        assert "{suite: intl}" in said
        settings.write_text(said.replace("{suite: intl}", f"{{suite: {suite}}}"), encoding="utf-8")


@pytest.fixture(scope="module")
def founded(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copy]:
    """Return the firm that is copied, founded once for a module."""
    with founding(_templates, tmp_path_factory.mktemp("firm")) as firm:
        yield firm


@pytest.fixture
def copy(
    founded: Copy, postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Copy]:
    """Return a test's own firm, for which the commands of this process work."""
    with copied(postgres, founded, tmp_path) as copy:
        inhabit(copy, monkeypatch)
        yield copy


def part(told: Mapping[str, Any], *named: str) -> dict[str, Any]:
    """Return some facts of a document."""
    return {name: told[name] for name in named}


def rows() -> list[RecordRow]:
    """Return every record, sealed."""
    with opened() as custody, transaction(custody.data) as connection:
        return records_after(connection, UUID(int=0), 1000)


def values() -> dict[UUID, object]:
    """Return what every record says, opened."""
    with opened() as custody:
        with transaction(custody.data) as connection:
            there = records_after(connection, UUID(int=0), 1000)
        return {one.row.id: one.payloads for one in open_records(custody, there)}


def names(prefix: str) -> set[str]:
    """Return the keystore's entries of a kind."""
    with opened() as custody:
        return {name for name in custody.keyring.keystore.names if name.startswith(prefix)}


def events() -> list[str]:
    """Return what the ledger has, in order."""
    statement = text("SELECT event FROM ledger.entries ORDER BY seq")
    with opened() as custody, transaction(custody.data) as connection:
        return list(connection.execute(statement).scalars())


def purge(customer: UUID | None = None) -> None:
    """Destroy what is due, or all of a customer."""
    with opened() as custody:
        client = Client(custody, TESTER)
        client.apply_plan(client.plan_destruction(customer=customer).id)


def put_in_clear(number: int) -> set[UUID]:
    """Leave a compartment of so many records as an upgrade that went wrong would have."""
    with opened() as custody, transaction(custody.data) as connection:
        there = records_after(connection, UUID(int=0), number)
        for one in open_records(custody, there):
            clear = encode_payload(one.payloads["general"])
            statement = text("UPDATE records SET general = :clear WHERE id = :id")
            connection.execute(statement, {"clear": clear, "id": one.row.id})
    return {row.id for row in there}


@contextmanager
def founding(server: EmbeddedPostgres, folder: Path) -> Iterator[Copy]:
    """Found the firm and take its people in; nobody is connected to it in the block."""
    with _databases(server, TEMPLATE_DATA, TEMPLATE_KEYS) as (_, databases):
        home = folder / "founded"
        (home / "keys").mkdir(parents=True)
        shutil.copytree(ROOT / "config" / "policy", home / "policy")
        firm = Copy(home=home, databases=databases)
        places = Places(
            data_url=databases.app_url,
            keys_url=databases.keys_url,
            keystore=firm.keystore,
            root=RootPlace(key_file=home / "keys" / "root.key"),
            outbox=home / "outbox",
            outside=in_folders(home / "checkpoints", home / "keys"),
        )
        policy = load_policy(home / "policy")
        create_installation(places, policy, TESTER, lambda: NOW, synthetic=True)
        with pytest.MonkeyPatch.context() as patch:
            inhabit(firm, patch)
            for module in (examining, consent_rows):  # the gate is not what the tests are about
                patch.setattr(module, "check_chunk", lambda *_, **__: NOTHING_WRONG)
            _fill(folder)
        yield firm


@contextmanager
def copied(server: EmbeddedPostgres, firm: Copy, folder: Path) -> Iterator[Copy]:
    """Copy a firm that nobody is connected to, and drop the copy at the end."""
    where = (firm.databases.app_url, firm.databases.keys_url)
    with _databases(server, *(str(make_url(url).database) for url in where)) as (number, databases):
        home = folder / f"home_{number}"
        shutil.copytree(firm.home, home)
        yield Copy(home=home, databases=databases)


def inhabit(firm: Copy, patch: pytest.MonkeyPatch) -> None:
    """Let commands of this process work for a firm, on its day."""
    patch.setenv("CUSTODY_HOME", str(firm.home))
    patch.setenv("CUSTODY_DATABASE_URL", firm.databases.app_url)
    patch.setenv("CUSTODY_KEYS_URL", firm.databases.keys_url)
    patch.delenv("CUSTODY_LOCALE", raising=False)
    patch.setattr("config.installation.now", lambda: firm.days[-1])


@contextmanager
def _databases(
    server: EmbeddedPostgres, data_template: str, keys_template: str
) -> Iterator[tuple[int, Databases]]:
    number = next(_numbers)
    data, keys = f"cli_data_{number}", f"cli_keys_{number}"
    create_database(server, data, data_template)
    create_database(server, keys, keys_template)
    try:
        yield number, urls_of(server.endpoints, data, keys)
    finally:
        drop_databases(server, data, keys)


def _fill(folder: Path) -> None:
    files = {
        "legacy_consents": consents_csv(),
        "legacy_customers": customers_csv(broken=0),
        "legacy_transactions": DUE_IN_PERIOD,
    }
    with opened() as custody:
        client = Client(custody, TESTER)
        for source, content in files.items():
            path = folder / f"{source}.csv"
            path.write_text(content, encoding="gb18030" if "customers" in source else "utf-8")
            client.ingest_file(source, path)
        stranger, waiting = folder / "stranger.csv", folder / "waiting.csv"
        stranger.write_text(OF_A_STRANGER, encoding="utf-8")
        waiting.write_text(WAITING, encoding="utf-8")
        client.ingest_file("legacy_transactions", stranger)
        batch = open_batch(custody, TESTER, "legacy_transactions", str(waiting))
        take_chunks(custody, TESTER, batch, range(batch.chunks), str(waiting))
        close_batch(custody, TESTER, batch.id)
