"""What is measured on: a private PostgreSQL with an installation, and customers sealed into it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from benchmarks.measure import Meter
from custody.acts.context import Actor, Custody
from custody.acts.sealing import seal_payloads
from custody.acts.setup import Places, close_custody, create_installation, open_custody
from custody.cli.signing import private_folder
from custody.database import customers, periods, records
from custody.database.engine import transaction
from custody.database.migrate import migrate
from custody.embedded.endpoints import DATA, KEYS
from custody.embedded.postgres import EmbeddedPostgres
from custody.identifiers import random_id, time_ordered_id
from custody.keys.providers import RootPlace
from custody.outside.places import in_folders
from custody.parts import new_pseudonym
from custody.policy.load import load_policy
from custody.policy.model import Level, Policy
from custody.record import PSEUDONYM, RecordRow, to_payload
from custody.seal import DataKey
from custody.suites import Suite

ACTOR: Final = Actor(how="os-user", name="bench")
PERIOD: Final = "2027Q4"
_CHUNK: Final = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """An installation to measure on."""

    custody: Custody
    postgres: EmbeddedPostgres
    meter: Meter
    places: Places

    @property
    def owner_url(self) -> str:
        """The data database as its owner, as psycopg writes it."""
        return self.postgres.endpoints.owner_url.replace("+psycopg", "")

    def wal_position(self) -> int:
        """Return how many bytes of write-ahead log there were so far."""
        with psycopg.connect(self.owner_url) as connection:
            asked = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
            row = connection.execute(asked).fetchone()
        return int(row[0]) if row else 0

    def settle(self) -> None:
        """Have the server do now what it would do at its leisure, in the midst of a measurement."""
        for database in (DATA, KEYS):
            admin = self.postgres.admin_conninfo(database)
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE)")
                connection.execute("CHECKPOINT")

    def under(self, suite: Suite) -> Custody:
        """Return the installation under a policy that wants another suite."""
        policy = self.custody.policy
        settings = replace(policy.settings, suite=suite)
        return replace(self.custody, policy=replace(policy, settings=settings))


@contextmanager
def ground() -> Iterator[Ground]:
    """Make an installation on a server of its own, durable as in service, and remove both.

    Its parts lie where commands in that home look for them.
    """
    with tempfile.TemporaryDirectory(prefix="cus-bench-") as folder:
        home = Path(folder) / "h"
        with EmbeddedPostgres(home) as postgres:
            where = postgres.endpoints
            migrate(where.owner_url, where.keys_owner_url)
            keys = private_folder(home / "keys")
            places = Places(
                data_url=where.app_url,
                keys_url=where.keys_url,
                keystore=keys / "keystore.json",
                root=RootPlace(key_file=keys / "root.key"),
                outbox=home / "outbox",
                outside=in_folders(home / "checkpoints", keys),
            )
            policy = demo_policy()
            create_installation(places, policy, ACTOR, _now, synthetic=True)
            custody = open_custody(places, policy, _now)
            try:
                yield Ground(
                    custody=custody,
                    postgres=postgres,
                    meter=Meter(postgres.home.cluster),
                    places=places,
                )
            finally:
                close_custody(custody)


@contextmanager
def open_again(places: Places) -> Iterator[Custody]:
    """Open an installation that there is, in a process of its own."""
    custody = open_custody(places, demo_policy(), _now)
    try:
        yield custody
    finally:
        close_custody(custody)


def demo_policy() -> Policy:
    """Return the demo's policy."""
    return load_policy(Path(str(files("config") / "policy")))


def give_keys(custody: Custody, count: int) -> list[UUID]:
    """Make so many customers, each with a data key in the same expiry period."""
    made = []
    for start in range(0, count, _CHUNK):
        ids = [random_id() for _ in range(min(_CHUNK, count - start))]
        custody.keyring.data_keys({(one, PERIOD): 1 for one in ids}, custody.now())
        made += ids
    return made


def seal_customers(custody: Custody, count: int) -> None:
    """Seal a record of twelve fields for each of so many customers, in two compartments."""
    with transaction(custody.data) as connection:
        periods.open_period(connection, PERIOD)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        ids = [random_id() for _ in range(size)]
        keys = custody.keyring.data_keys({(one, PERIOD): 1 for one in ids}, custody.now())
        rows = [
            _record(custody, keys[one, PERIOD], one, start + place) for place, one in enumerate(ids)
        ]
        with transaction(custody.data) as connection:
            customers.add_customers(connection, ids, custody.now())
            records.copy_records(connection, rows)


def _record(custody: Custody, key: DataKey, customer: UUID, number: int) -> RecordRow:
    dataset = custody.policy.dataset("customers")
    payloads: dict[Level, dict[int, str | int]] = {Level.GENERAL: {PSEUDONYM: new_pseudonym()}}
    for name, value in _values(number).items():
        level = dataset.field(name).level
        payloads.setdefault(level, {}).update(to_payload(dataset, {name: value}))
    record_id = time_ordered_id(custody.now())
    seals = seal_payloads(
        custody,
        key,
        payloads,
        record_id=record_id,
        customer_id=customer,
        dataset="customers",
        version=1,
    )
    return RecordRow(
        id=record_id,
        period=PERIOD,
        customer_id=customer,
        dataset="customers",
        purpose="insurance_service",
        namespace="bench",
        version=1,
        key_id=key.key_id,
        **seals,
        ends_on=None,
        level_raised=False,
        batch_id=UUID(int=0),
        row_number=number,
        stored_at=custody.now(),
    )


def _values(number: int) -> dict[str, str]:
    return {
        "customer_no": f"K{number:09d}",
        "name": "王小明",
        "sex": "male",
        "mobile": f"138{number % 10**8:08d}",
        "email": f"customer{number}@example.cn",
        "address": "上海市浦东新区世纪大道100号环球金融中心12层",
        "resident_id": "11010519491231002X",
        "health_note": "无既往病史",
    }


def _now() -> datetime:
    return datetime.now(UTC)
