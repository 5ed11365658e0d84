"""Transfer: who may receive what, what is left out, and exactly one package whatever happens."""

import csv
import io
import json
import os
import random
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyrage
import pytest
from dying import Killed
from own_databases import Databases
from people_house import (
    CHEAP,
    PARTNER,
    SHELL,
    WORDS,
    House,
    build_house,
    close_house,
    person,
)

from custody.acts import transfer
from custody.acts.request_views import request_state, show_request
from custody.acts.staff import deactivate_staff, enrol
from custody.acts.transfer import DeliveryReceipt, decide_transfer, deliver
from custody.approval import CLEAR, MASKED
from custody.decision import Verdict
from custody.errors import AwaitingApprovalError, RefusedError, UsageError
from custody.keys.person import create_person_key
from custody.packages.outbox import (
    MANIFEST,
    SIGNATURE,
    ManifestInvalidError,
    PackageMissingError,
    verify_manifest,
)
from custody.policy.model import Level, Rule
from custody.statements import decode
from custody.steps import observed_by


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    built = build_house(databases, tmp_path)
    yield built
    close_house(built)


def codes(act: Callable[[], object]) -> set[str]:
    with pytest.raises(RefusedError) as error:
        act()
    return {reason.code for reason in error.value.reasons}


def refusals(house: House, **changes: object) -> set[tuple[str, str]]:
    request_id = house.file(house.ask_transfer(**changes))
    decision = decide_transfer(house.custody, SHELL, request_id)
    assert decision.verdict is Verdict.REFUSED
    return {(reason.code, reason.about) for reason in decision.reasons}


def rows_of(house: House, receipt: DeliveryReceipt) -> list[dict[str, str]]:
    """Return what the recipient finds in a delivered CSV."""
    package = (receipt.folder / "customers.csv.age").read_bytes()
    text = pyrage.decrypt(package, [house.partner]).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return sorted(rows, key=lambda row: row["customer_no"])


def query(databases: Databases, statement: str) -> list[tuple[object, ...]]:
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def test_an_approved_transfer_is_delivered_encrypted(house: House) -> None:
    house.store([person(1), person(2)])
    receipt = deliver(house.custody, SHELL, house.approved())
    assert (receipt.rows, receipt.left_out) == (2, {})
    assert rows_of(house, receipt) == [
        {"customer_no": "K000001", "name": "王小明", "mobile": "13800000001"},
        {"customer_no": "K000002", "name": "王小明", "mobile": "13800000002"},
    ]


def test_nothing_in_the_outbox_is_readable(house: House) -> None:
    house.store([person(1)])
    receipt = deliver(house.custody, SHELL, house.approved())
    files = sorted(receipt.folder.iterdir())
    assert [file.name for file in files] == ["customers.csv.age", MANIFEST, SIGNATURE]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "王小明".encode() not in file.read_bytes()
        assert b"13800000001" not in file.read_bytes()
    assert stat.S_IMODE(house.custody.outbox.stat().st_mode) == 0o700
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(files[0].read_bytes(), [pyrage.x25519.Identity.generate()])


def test_the_recipient_needs_only_age(house: House, require_program: Callable[[str], Path]) -> None:
    age = require_program("age")
    house.store([person(1)])
    receipt = deliver(house.custody, SHELL, house.approved())
    identity = house.folder / "identity"
    identity.write_text(str(house.partner))
    opened = subprocess.run(
        [age, "-d", "-i", identity, receipt.folder / "customers.csv.age"],
        capture_output=True,
        check=True,
    )
    assert "K000001" in opened.stdout.decode()


def test_the_manifest_is_signed_and_says_what_was_approved(house: House) -> None:
    house.store([person(1), person(2)])
    request_id = house.approved()
    digest = show_request(house.custody, request_id).digest
    receipt = deliver(house.custody, SHELL, request_id)
    text = (receipt.folder / MANIFEST).read_bytes()
    signature = decode((receipt.folder / SIGNATURE).read_text())
    public = house.custody.keyring.verify_key_bytes()
    verify_manifest(public, text, signature)
    with pytest.raises(ManifestInvalidError):
        verify_manifest(public, text.replace(b'"rows":2', b'"rows":3'), signature)
    said = json.loads(text)
    assert said["digest"] == digest
    assert (said["rows"], said["approved"], said["left_out"]) == (2, 2, {})
    assert said["package"]["sha256"] == receipt.package_sha256
    assert [c["name"] for c in said["columns"]] == ["customer_no", "name", "mobile"]
    assert {a["kid"] for a in said["approvals"]} == {
        house.members["zhao"].key.kid,
        house.members["qian"].key.kid,
    }
    assert said["recipient"]["name"] == PARTNER


def test_delivering_again_returns_the_same_receipt(house: House) -> None:
    house.store([person(1)])
    request_id = house.approved()
    first = deliver(house.custody, SHELL, request_id)
    before = {f.name: f.read_bytes() for f in first.folder.iterdir()}
    house.clock.advance(days=30)
    assert deliver(house.custody, SHELL, request_id) == first
    assert {f.name: f.read_bytes() for f in first.folder.iterdir()} == before


def test_nothing_is_delivered_before_two_people_approved(house: House) -> None:
    house.store([person(1)])
    filed = house.file(house.ask_transfer())
    assert codes(lambda: deliver(house.custody, SHELL, filed)) == {"request_not_open"}
    request_id = house.awaiting()
    with pytest.raises(AwaitingApprovalError, match="0 of 2"):
        deliver(house.custody, SHELL, request_id)
    house.vote(request_id, "zhao")
    with pytest.raises(AwaitingApprovalError, match="1 of 2"):
        deliver(house.custody, SHELL, request_id)
    assert not house.custody.outbox.exists()
    use = house.file(house.ask_use())
    with pytest.raises(UsageError):
        deliver(house.custody, SHELL, use)


def test_a_state_written_into_the_database_does_not_deliver(
    house: House, databases: Databases
) -> None:
    """A database administrator can write `approved`; the votes are looked at all the same."""
    house.store([person(1)])
    request_id = house.awaiting()
    house.vote(request_id, "zhao")
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE custody.requests SET state = 'approved'")
        connection.execute(
            "INSERT INTO custody.votes SELECT request_id, revision,"
            " (SELECT id FROM custody.staff WHERE name = 'qian'), kid, decision, 'forged',"
            " token, at FROM custody.votes"
        )
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {
        "signature_invalid",
        "approvals_missing",
    }


def test_every_reason_against_a_recipient_is_given(house: House) -> None:
    house.store([person(1)])
    assert refusals(house, recipient="expired_partner") == {
        ("contract_not_in_force", "expired_partner"),
        ("nothing_to_do", ""),
    }
    assert refusals(house, recipient="overseas_partner") == {
        ("country_not_permitted", "SG"),
        ("nothing_to_do", ""),
    }
    assert ("recipient_unlisted", "nobody") in refusals(house, recipient="nobody")
    fields = {"name": CLEAR, "resident_id": CLEAR, "social_account": MASKED}
    assert refusals(house, fields=fields) == {
        ("fields_not_necessary", "resident_id"),
        ("fields_not_necessary", "social_account"),
        ("fields_not_necessary", f"{PARTNER}.resident_id"),
        ("fields_not_necessary", f"{PARTNER}.social_account"),
        ("nothing_to_do", ""),
    }
    assert refusals(house, purpose="insurance_service", until=house.clock()) >= {
        ("purpose_not_permitted", PARTNER),
        ("window_invalid", ""),
    }


def test_a_contract_ends_on_the_day_of_the_installations_zone(house: House) -> None:
    house.store([person(1)])
    partner = house.custody.policy.recipients[PARTNER]
    contract = replace(partner.contract, valid_to=house.custody.today())
    set_recipient(house, replace(partner, contract=contract))
    request_id = house.approved()
    house.clock.advance(hours=13, minutes=59)  # 23:59 in Shanghai
    house.clock.advance(minutes=1)
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {"contract_not_in_force"}
    house.clock.advance(minutes=-1)
    assert deliver(house.custody, SHELL, request_id).rows == 1


def set_recipient(house: House, recipient: object) -> None:
    recipients = {**house.custody.policy.recipients, PARTNER: recipient}
    policy = replace(house.custody.policy, recipients=recipients)
    house.custody = replace(house.custody, policy=policy)


def test_the_signed_policy_may_open_a_way_abroad(house: House) -> None:
    house.store([person(1)])
    partner = house.custody.policy.recipients[PARTNER]
    set_recipient(house, replace(partner, country="SG"))
    assert refusals(house) == {("country_not_permitted", "SG")}
    rules = dict(house.custody.policy.rules)
    rule: Rule = rules["P38"]
    rules["P38"] = replace(rule, mode="warn")
    house.custody = replace(house.custody, policy=replace(house.custody.policy, rules=rules))
    request_id = house.file(house.ask_transfer())
    decision = decide_transfer(house.custody, SHELL, request_id)
    assert decision.verdict is Verdict.NEEDS_APPROVAL


def test_a_key_exchanged_after_approval_receives_nothing(house: House) -> None:
    house.store([person(1)])
    request_id = house.approved()
    partner = house.custody.policy.recipients[PARTNER]
    other = str(pyrage.x25519.Identity.generate().to_public())
    set_recipient(house, replace(partner, key=other))
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {"digest_mismatch"}


def test_a_window_that_is_over_delivers_nothing(house: House) -> None:
    house.store([person(1)])
    request_id = house.approved()
    house.clock.advance(days=7)
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {"window_invalid"}


def test_rows_without_a_consent_that_names_the_recipient_are_left_out(house: House) -> None:
    house.store([person(1)])
    house.store_one(person(2), kinds=(("partner_service", "purpose", ""),))
    house.store_one(person(3), kinds=(("partner_service", "recipient", "expired_partner"),))
    withdrawn = house.store_one(person(4))
    house.withdraw(withdrawn, "partner_service", PARTNER)
    house.store_one(person(5), ends_on=house.custody.today() - timedelta(days=1))
    request_id = house.approved()
    request = show_request(house.custody, request_id).request
    assert request.rows == 1
    assert request.left_out == {
        "consent_withdrawn": 1,
        "recipient_consent_missing": 2,
        "retention_already_over": 1,
    }
    assert [
        row["customer_no"] for row in rows_of(house, deliver(house.custody, SHELL, request_id))
    ] == ["K000001"]


def test_delivered_is_approved_less_what_is_accounted_for(
    house: House, databases: Databases
) -> None:
    customers = house.store([person(n) for n in range(1, 7)])
    request_id = house.approved()
    house.withdraw(customers[0], "partner_service", PARTNER)
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = custody")
        delete = "DELETE FROM records WHERE customer_id = %s"
        connection.execute(delete, [customers[1]])
        correct = "UPDATE records SET version = 2 WHERE customer_id = %s"
        connection.execute(correct, [customers[2]])
        due = "UPDATE records SET ends_on = '2020-01-01' WHERE customer_id = %s"
        connection.execute(due, [customers[3]])
    receipt = deliver(house.custody, SHELL, request_id)
    assert receipt.left_out == {
        "consent_withdrawn": 1,
        "record_erased": 1,
        "record_corrected": 1,
        "retention_already_over": 1,
    }
    approved = show_request(house.custody, request_id).request.rows
    assert receipt.rows == approved - sum(receipt.left_out.values()) == 2
    assert {r["customer_no"] for r in rows_of(house, receipt)} == {"K000005", "K000006"}


def test_when_nobody_is_left_nothing_is_delivered(house: House) -> None:
    (customer,) = house.store([person(1)])
    request_id = house.approved()
    house.withdraw(customer, "partner_service")
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {"nothing_to_do"}
    assert not house.custody.outbox.exists()


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("qian", {"staff_inactive", "approvals_missing"}),
        ("wang", {"staff_inactive"}),
    ],
)
def test_a_leaver_between_vote_and_delivery_stops_it(
    house: House, who: str, expected: set[str]
) -> None:
    house.store([person(1)])
    request_id = house.approved()
    deactivate_staff(house.custody, SHELL, house.members[who].id)
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == expected
    deactivate_staff(house.custody, SHELL, house.members["zhou"].id)


def test_a_vote_under_a_key_revoked_since_counts_no_longer(house: House) -> None:
    house.store([person(1)])
    request_id = house.approved()
    qian = house.members["qian"]
    key = create_person_key(house.folder / "qian-2", WORDS, CHEAP)
    enrol(house.custody, SHELL, qian.id, key.public, house.vouch(qian.person, key.public))
    assert codes(lambda: deliver(house.custody, SHELL, request_id)) == {
        "signature_invalid",
        "approvals_missing",
    }


def test_masked_fields_are_delivered_masked_and_raised_ones_too(house: House) -> None:
    house.store([person(1)])
    house.store_one(person(2), raised={"name": Level.SENSITIVE})
    fields = {"customer_no": CLEAR, "name": CLEAR, "mobile": MASKED}
    receipt = deliver(house.custody, SHELL, house.approved(fields=fields))
    assert {(r["name"], r["mobile"]) for r in rows_of(house, receipt)} == {
        ("王小明", "138****0001"),
        ("****", "138****0002"),
    }


def test_without_a_ledger_entry_no_package_is_published(house: House, databases: Databases) -> None:
    house.store([person(1)])
    request_id = house.approved()
    for event in ("transfer:records:opened", "transfer:package:delivered"):
        url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url) as connection:
            connection.execute(
                "ALTER TABLE ledger.entries ADD CONSTRAINT broken"
                f" CHECK (event <> '{event}') NOT VALID"
            )
        with pytest.raises(Exception, match="23514"):
            deliver(house.custody, SHELL, request_id)
        with psycopg.connect(url) as connection:
            connection.execute("ALTER TABLE ledger.entries DROP CONSTRAINT broken")
        assert not list(house.custody.outbox.glob("req_*"))
        assert request_state(house.custody, request_id)[1] == "approved"
    assert deliver(house.custody, SHELL, request_id).rows == 1


def test_killed_anywhere_and_run_again_it_is_delivered_once(
    house: House, databases: Databases
) -> None:
    house.store([person(n) for n in range(1, 6)])
    house.custody = replace(house.custody, chunk_rows=2)
    steps: list[str] = []
    first = house.approved()
    with observed_by(steps.append):
        whole = rows_of(house, deliver(house.custody, SHELL, first))
    assert steps[-2:] == ["transfer:committed", "transfer:published"]
    assert len(steps) == 12
    for number in range(len(steps)):
        request_id = house.approved()
        seen: list[str] = []

        def die(step: str, seen: list[str] = seen, number: int = number) -> None:
            seen.append(step)
            if len(seen) == number + 1:
                raise Killed

        with pytest.raises(Killed), observed_by(die):
            deliver(house.custody, SHELL, request_id)
        receipt = deliver(house.custody, SHELL, request_id)
        assert rows_of(house, receipt) == whole
        assert deliver(house.custody, SHELL, request_id) == receipt
    assert not list(house.custody.outbox.glob(".*"))
    assert len(list(house.custody.outbox.iterdir())) == len(steps) + 1
    delivered = query(
        databases,
        "SELECT count(*), count(DISTINCT body::json -> 'facts' ->> 'request')"
        " FROM ledger.entries WHERE event = 'transfer:package:delivered'",
    )
    assert delivered == [(len(steps) + 1, len(steps) + 1)]


def test_two_deliveries_at_once_make_one_package(house: House) -> None:
    house.store([person(n) for n in range(1, 4)])
    request_id = house.approved()
    receipts: list[DeliveryReceipt] = []

    def run() -> None:
        receipts.append(deliver(house.custody, SHELL, request_id))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 4
    assert len(set(map(repr, receipts))) == 1
    assert [p.name for p in house.custody.outbox.iterdir()] == [receipts[0].folder.name]


def test_a_package_lost_or_altered_is_reported(house: House) -> None:
    house.store([person(1)])
    request_id = house.approved()
    receipt = deliver(house.custody, SHELL, request_id)
    package = receipt.folder / "customers.csv.age"
    package.write_bytes(package.read_bytes() + b"\0")
    with pytest.raises(PackageMissingError):
        deliver(house.custody, SHELL, request_id)
    shutil.rmtree(receipt.folder)
    with pytest.raises(PackageMissingError):
        deliver(house.custody, SHELL, request_id)


def test_plaintext_touches_no_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a package is made, no file is made but the ciphertext, manifest and signature."""
    house.store([person(n) for n in range(1, 40)])
    real_open = os.open
    written: list[str] = []

    def watch(path: Any, flags: int, *rest: int, **named: int) -> int:
        if flags & os.O_CREAT:
            written.append(Path(path).name)
        return real_open(path, flags, *rest, **named)

    for form in ("csv", "xlsx"):
        request_id = house.approved(form=form)
        written.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", watch)
            patched.setenv("TMPDIR", "/nonexistent")
            receipt = deliver(house.custody, SHELL, request_id)
        assert set(written) == {f"customers.{form}.age", MANIFEST, SIGNATURE}
        assert receipt.rows == 39


REQUESTS = 30
EACH = 10


@pytest.mark.parametrize(
    ("careless", "requests"), [(False, REQUESTS), (True, 3)], ids=["locked", "careless twin"]
)
def test_consent_withdrawn_during_delivery_is_honoured(
    house: House,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    *,
    careless: bool,
    requests: int,
) -> None:
    """300 races: whoever's withdrawal is in the ledger before the delivery is not delivered.

    The twin delivers without the customers' locks, and hands out people who had said no.
    """
    if careless:
        monkeypatch.setattr(transfer, "lock_customers", lambda *_: {})
    customers = house.store([person(n) for n in range(1, requests * EACH + 1)])
    wrong = raced = left_out = 0
    for number in range(requests):
        mine = customers[number * EACH : (number + 1) * EACH]
        request_id = house.approved(customers=tuple(mine))
        receipt, entries = race(house, request_id, mine, seed=number)
        (delivered,) = query(
            databases,
            "SELECT max(seq) FROM ledger.entries WHERE event = 'transfer:package:delivered'",
        )[0]
        inside = {row["customer_no"] for row in rows_of(house, receipt)} if receipt else set()
        for place, customer in enumerate(mine):
            number_shown = person(number * EACH + place + 1)["customer_no"]
            withdrawn_first = receipt is not None and entries[customer] < int(str(delivered))
            wrong += withdrawn_first and number_shown in inside
            raced += 1
        left_out += EACH - len(inside)
    assert raced == requests * EACH
    assert left_out > 0
    if careless:
        assert wrong > 0
    else:
        assert wrong == 0


def race(
    house: House, request_id: UUID, customers: list[UUID], seed: int
) -> tuple[DeliveryReceipt | None, dict[UUID, int]]:
    """Deliver while each customer withdraws at some step of it; return the ledger entries."""
    chance = random.Random(seed)
    moments = ["before", "reveal:recorded", "transfer:package-staged", "transfer:manifest-staged"]
    plan: dict[str, list[UUID]] = {}
    for customer in customers:
        plan.setdefault(chance.choice(moments), []).append(customer)
    entries: dict[UUID, int] = {}
    threads: list[threading.Thread] = []

    def withdraw(customer: UUID) -> None:
        entries[customer] = house.withdraw(customer, "partner_service", PARTNER)

    def start(step: str) -> None:
        for customer in plan.pop(step, ()):
            thread = threading.Thread(target=withdraw, args=(customer,))
            thread.start()
            threads.append(thread)
            time.sleep(0.002)

    start("before")
    try:
        with observed_by(start):
            receipt = deliver(house.custody, SHELL, request_id)
    except RefusedError:
        receipt = None
    for moment in moments:
        start(moment)
    for thread in threads:
        thread.join()
    return receipt, entries
