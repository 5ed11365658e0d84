"""A dataset nobody thought of goes through all five stages, by YAML alone."""

import csv
import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyrage
import pytest
from own_databases import Databases
from running_stack import Stack, in_this_process
from sqlalchemy import text as sql

from config.installation import now, places
from config.settings import load_settings
from custody.acts.batches import open_batch
from custody.acts.consents import withdraw_consent
from custody.acts.context import Actor, Custody
from custody.acts.setup import create_installation
from custody.acts.use import list_grants
from custody.acts.verify import verify_installation
from custody.approval import CLEAR, MASKED
from custody.database.engine import transaction
from custody.demo.people import bank_card
from custody.embedded.runtime import Running
from custody.identifiers import BATCH, REQUEST, show_id
from custody.policy.load import load_policy
from custody.policy.template import write_template

sys.path.append(str(Path(__file__).parents[1] / "database"))
from people_house import STAFF, House

pytestmark = pytest.mark.slow

SHELL = Actor(how="os-user", name="tester")
DOCUMENT = Path(__file__).with_name("vehicles.yaml")
VEHICLES = 30
OLD = range(5)  # serviced six years ago: due
WITHOUT_CONSENT = range(5, 9)
NOT_SEPARATE = range(9, 11)  # no separate consent to their card
BROKEN = range(11, 13)
WITHDRAWN = range(13, 16)
NOT_TO_PARTNER = range(16, 20)
REFUSED = len([*WITHOUT_CONSENT, *NOT_SEPARATE, *BROKEN])
STORED = VEHICLES - REFUSED
TODAY = date.today()  # noqa: DTZ011 - a day or two do not matter here


@dataclass(frozen=True, kw_only=True)
class Garage:
    """The installation, its people, and the receipts of its two sources."""

    custody: Custody
    house: House
    receipts: Mapping[str, Any]
    sources: Mapping[str, Path]

    def records(self) -> dict[UUID, Any]:
        """Return every column of every record, as the database holds it."""
        with transaction(self.custody.data) as connection:
            rows = connection.execute(sql("SELECT * FROM records WHERE dataset = 'vehicles'"))
            return {row.id: row for row in rows}


def plate(number: int) -> str:
    return f"浙A{number:05d}"


def vehicle(number: int) -> dict[str, str]:
    """Return a row of the garage's file."""
    years = 6 if number in OLD else 0
    day = TODAY - timedelta(days=365 * years + 40)
    return {
        "车牌号": plate(number),
        "车主": "" if number in BROKEN else f"王车主{number}",
        "驾驶人手机": f"138{number:08d}",
        "付款卡": card(number),
        "保养日期": day.isoformat(),
        "里程": str(1000 * number),
        "爱好": "钓鱼",
    }


def card(number: int) -> str:
    import random  # noqa: PLC0415 - a seeded choice

    return bank_card(random.Random(number))


def consents(number: int) -> list[dict[str, str]]:
    """Return what a vehicle's owner agreed to, referring to the plate."""
    wanted = [("garage_service", "purpose", ""), ("garage_service", "sensitive", "")]
    wanted.append(("towing", "recipient", "towing_company"))
    if number in WITHOUT_CONSENT:
        wanted = []
    if number in NOT_SEPARATE:
        del wanted[1]
    if number in NOT_TO_PARTNER:
        del wanted[2]
    return [
        {
            "plate_no": plate(number),
            "purpose": purpose,
            "kind": kind,
            "recipient": recipient,
            "given_at": "2024-03-01T09:00:00+08:00",
            "notice_version": "2024-02",
            "notice_shown_at": "2024-03-01T08:55:00+08:00",
            "control_id": f"counter/{purpose}/{kind}",
            "control_initial": "unchecked",
            "signed_text_digest": "cd" * 32,
            "act": "signature",
        }
        for purpose, kind, recipient in wanted
    ]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_policy(folder: Path, identity: pyrage.x25519.Identity) -> Path:
    """Write the insurer's template, and one more document beside it."""
    write_template("insurer", folder)
    text = DOCUMENT.read_text(encoding="utf-8")
    text = text.replace("KEY_OF_THE_TEST", str(identity.to_public()))
    (folder / "vehicles.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def garage(stack: Stack, databases: Databases, short_tmp: Path) -> Iterator[Garage]:
    identity = pyrage.x25519.Identity.generate()
    folder = short_tmp / "files"
    folder.mkdir()
    home = short_tmp / "home"
    home.mkdir(mode=0o700)
    variables = {
        "CUSTODY_HOME": str(home),
        "CUSTODY_POLICY": str(write_policy(short_tmp / "policy", identity)),
        "CUSTODY_DATABASE_URL": databases.app_url,
        "CUSTODY_KEYS_URL": databases.keys_url,
    }
    sources = {
        "garage_consents": write(
            folder / "c.csv", [one for number in range(VEHICLES) for one in consents(number)]
        ),
        "garage_vehicles": write(folder / "v.csv", [vehicle(n) for n in range(VEHICLES)]),
    }
    with in_this_process(stack, variables) as opened:
        create(databases)
        custody: Custody = opened()  # type: ignore[assignment]
        house = House(custody=custody, clock=now, folder=short_tmp, partner=identity)  # type: ignore[arg-type]
        for name, role in STAFF:
            house.hire(name, role)
        receipts = {name: take_in(custody, name, file) for name, file in sources.items()}
        yield Garage(custody=custody, house=house, receipts=receipts, sources=sources)


def create(databases: Databases) -> None:
    settings = load_settings()
    (settings.home / "keys").mkdir(mode=0o700)
    where = Running(database_url=databases.app_url, keys_url=databases.keys_url)
    policy = load_policy(settings.policy or Path())
    create_installation(places(settings, where), policy, SHELL, now, synthetic=True)


def take_in(custody: Custody, source: str, file: Path) -> Any:
    """Take a file in and store it, by the real flows."""
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.store import store  # noqa: PLC0415

    batch = show_id(BATCH, open_batch(custody, SHELL, source, str(file)).id)
    taken = ingest(source, batch)
    return taken if source == "garage_consents" else store(batch)


def test_it_needs_no_code_and_no_migration(short_tmp: Path) -> None:
    policy = load_policy(write_policy(short_tmp / "p", pyrage.x25519.Identity.generate()))
    assert set(policy.dataset("vehicles").field_names) > {"plate_no", "paid_from"}
    assert [one.name for one in policy.dataset("vehicles").references] == ["plate_no"]
    root = Path(__file__).resolve().parents[2]
    code = [
        file
        for package in ("custody", "config", "tasks", "flows")
        for file in (root / package).rglob("*.py")
        if "plate_no" in file.read_text(encoding="utf-8")
    ]
    assert code == []


def test_ingest_and_store(garage: Garage) -> None:
    receipt = garage.receipts["garage_vehicles"]
    assert (receipt.read, receipt.refused, receipt.stored) == (VEHICLES, REFUSED, STORED)
    assert receipt.reasons == {
        "consent_missing": len(WITHOUT_CONSENT),
        "separate_consent_missing": len([*WITHOUT_CONSENT, *NOT_SEPARATE]),
        "required_missing": len(BROKEN),
    }
    assert len(garage.records()) == STORED
    with transaction(garage.custody.data) as connection:
        dropped = connection.execute(
            sql("SELECT dropped FROM batch_chunks ORDER BY chunk")
        ).fetchall()
    assert {"hobby": VEHICLES} in [row.dropped for row in dropped]
    again = take_in(garage.custody, "garage_vehicles", garage.sources["garage_vehicles"])
    assert again.batch_id == receipt.batch_id
    assert len(garage.records()) == STORED


def test_use_masked_and_clear(garage: Garage) -> None:
    from flows.use import use  # noqa: PLC0415

    house = garage.house
    ask = replace(
        house.ask_use(),
        dataset="vehicles",
        purpose="garage_service",
        fields={"plate_no": MASKED, "owner": MASKED, "paid_from": MASKED},
    )
    asked = [ask, replace(ask, fields={"plate_no": CLEAR, "owner": CLEAR})]
    states = [use(show_id(REQUEST, house.file(one))).state for one in asked]
    assert states == ["granted", "granted"]
    readings = [house.read(grant.id).rows for grant in list_grants(garage.custody)]
    masked, clear = sorted(readings, key=lambda rows: "paid_from" not in rows[0].values)
    # What is due is in nobody's sight any more.
    seen = STORED - len(OLD)
    assert (len(masked), len(clear)) == (seen, seen)
    expected = {(plate(n), f"王车主{n}") for n in range(VEHICLES)}
    assert {(row.values["plate_no"], row.values["owner"]) for row in clear} <= expected
    shown = {value for row in masked for value in row.values.values()}
    assert not any(plate(n) in shown or card(n) in shown for n in range(VEHICLES))
    assert {row.values["owner"][0] for row in masked} == {"王"}


def test_transfer_to_whoever_holds_the_key(garage: Garage) -> None:
    from flows.transfer import transfer  # noqa: PLC0415

    house = garage.house
    request = house.file(
        replace(
            house.ask_transfer(),
            dataset="vehicles",
            purpose="towing",
            recipient="towing_company",
            fields={"plate_no": CLEAR, "owner": CLEAR, "driver_mobile": CLEAR},
        )
    )
    shown = show_id(REQUEST, request)
    assert transfer(shown).state == "needs_approval"
    for voter in ("zhao", "qian"):
        house.vote(request, voter)
    receipt = transfer(shown)
    assert receipt.state == "delivered"
    package = next(garage.custody.outbox.rglob("*.age")).read_bytes()
    text = pyrage.decrypt(package, [house.partner]).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    left_out = {*WITHOUT_CONSENT, *NOT_SEPARATE, *BROKEN, *NOT_TO_PARTNER, *OLD}
    sent = {plate(n): f"138{n:08d}" for n in range(VEHICLES) if n not in left_out}
    assert {row[0]: row[2].removeprefix("'") for row in rows} == sent
    assert receipt.rows == len(sent)
    stranger = pyrage.x25519.Identity.generate()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(package, [stranger])


def test_destroy_what_is_due_and_nothing_else(garage: Garage) -> None:
    from flows.destroy import destroy  # noqa: PLC0415

    before = garage.records()
    due = {one: row for one, row in before.items() if row.ends_on <= TODAY}
    assert len(due) == len(OLD)
    with transaction(garage.custody.data) as connection:
        rows = connection.execute(sql("SELECT id, customer_id FROM records ORDER BY id")).fetchall()
    withdrawing = [row for row in rows if row.id not in due][: len(WITHDRAWN)]
    for row in withdrawing:
        withdraw_consent(garage.custody, SHELL, row.customer_id, "garage_service")
    receipt = destroy()
    assert receipt.outcomes == {"destroyed": len(OLD) + len(WITHDRAWN)}
    gone = {*due, *(row.id for row in withdrawing)}
    assert garage.records() == {one: row for one, row in before.items() if one not in gone}
    assert verify_installation(garage.custody, deep=True).certificates == 1
