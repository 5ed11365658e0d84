"""A house for the people's tests: real databases, staff with keys, sealed records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pyrage
from own_databases import Databases

from custody.acts.context import Actor, Custody
from custody.acts.read import READ, Reading, read
from custody.acts.recording import record
from custody.acts.request_state import ACTS
from custody.acts.request_views import show_request
from custody.acts.requests import edit_request, file_request
from custody.acts.sealing import seal_payloads
from custody.acts.session import act_token, login
from custody.acts.setup import Places, close_custody, create_installation, open_custody
from custody.acts.staff import add_staff, enrol, enrolment_token, find_staff
from custody.acts.transfer import decide_transfer
from custody.acts.vote import VoteReceipt, cast_vote, vote_token
from custody.approval import (
    CLEAR,
    MASKED,
    TRANSFER,
    USE,
    Ask,
    Digest,
    Request,
    ask_digest,
    read_digest,
)
from custody.consent import PURPOSE, RECIPIENT, SENSITIVE, Consent
from custody.database.consents import NewConsent, add_consents, withdraw_consents
from custody.database.customers import add_customers, lock_customers
from custody.database.engine import transaction
from custody.database.periods import open_period
from custody.database.records import copy_records
from custody.identifiers import GRANT, random_id, show_id, time_ordered_id
from custody.keys.person import Cost, PersonKey, create_person_key
from custody.keys.providers import RootPlace
from custody.keys.session import SessionKey
from custody.outside.places import in_folders
from custody.parts import new_pseudonym
from custody.people import Person
from custody.policy.load import load_policy
from custody.policy.model import Level, Policy
from custody.record import PSEUDONYM, RecordRow, to_payload
from custody.suites import AES_256_GCM, Suite

ROOT = Path(__file__).resolve().parents[2]
CHEAP = Cost(iterations=1, lanes=1, memory_kib=8)
WORDS = b"words of a person"
START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
NOTICE = "2021-11"
PARTNER = "rescue_partner"
SHELL = Actor(how="os-user", name="tester")
STAFF = (
    ("sun", "compliance_officer"),
    ("li", "compliance_officer"),
    ("zhao", "approver"),
    ("qian", "approver"),
    ("wang", "business"),
    ("zhou", "business"),
)
PARTNER_FIELDS = {"customer_no": CLEAR, "name": CLEAR, "mobile": CLEAR}


@dataclass
class Clock:
    """A clock that the test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Member:
    """Somebody of the staff, with key and session."""

    person: Person
    key: PersonKey
    session: SessionKey

    @property
    def id(self) -> UUID:
        return self.person.id


@dataclass
class House:
    """The installation, its people, and the partner's private key."""

    custody: Custody
    clock: Clock
    folder: Path
    partner: pyrage.x25519.Identity
    members: dict[str, Member] = field(default_factory=dict)
    officers: list[str] = field(default_factory=list)

    def hire(self, name: str, role: str) -> Member:
        """Add a member of staff and enrol a key; the first two officers enrol themselves."""
        custody = self.custody
        staff_id = add_staff(custody, SHELL, name=name, department="业务一部", role=role)
        person = find_staff(custody, staff_id)
        key = create_person_key(self.folder / f"{staff_id}.key", WORDS, CHEAP)
        officer = self.vouch(person, key.public) if len(self.officers) >= 2 else None
        enrol(custody, SHELL, staff_id, key.public, officer)
        session = login(custody, SHELL, key, self.folder / f"{staff_id}.session")
        self.members[name] = Member(person=person, key=key, session=session)
        if role == "compliance_officer":
            self.officers.append(name)
        return self.members[name]

    def vouch(self, person: Person, public_key: bytes, officer: str | None = None) -> str:
        """Return an officer's signature for somebody's key."""
        member = self.members[officer or self.officers[0]]
        signer = member.key.signer(member.id)
        installation = self.custody.installation_id
        return enrolment_token(
            signer, person, public_key, installation=installation, at=self.clock()
        )

    def ask_transfer(self, **changes: object) -> Ask:
        """Return an ask for a transfer to the partner, with changes."""
        ask = Ask(
            kind=TRANSFER,
            dataset="customers",
            purpose="partner_service",
            fields=PARTNER_FIELDS,
            until=self.clock() + timedelta(days=7),
            recipient=PARTNER,
        )
        return replace(ask, **changes)

    def ask_use(self, **changes: object) -> Ask:
        """Return an ask for a masked use, with changes."""
        ask = Ask(
            kind=USE,
            dataset="customers",
            purpose="insurance_service",
            fields={"customer_no": CLEAR, "name": MASKED, "resident_id": MASKED},
            until=self.clock() + timedelta(days=7),
        )
        return replace(ask, **changes)

    def file(self, ask: Ask, who: str = "wang") -> UUID:
        """File a request, signed in somebody's session."""
        digest = self.ask_digest(ask)
        return file_request(self.custody, SHELL, ask, self.sign(ACTS[ask.kind], digest, who))

    def edit(self, request_id: UUID, ask: Ask, who: str = "wang") -> None:
        """Edit a request, signed in somebody's session."""
        digest = self.ask_digest(ask, request_id)
        token = self.sign(ACTS[ask.kind], digest, who)
        edit_request(self.custody, SHELL, request_id, ask, token)

    def ask_digest(self, ask: Ask, request_id: UUID | None = None) -> Digest:
        """Return what the requester signs."""
        custody = self.custody
        return ask_digest(custody.installation_id, ask, request_id, by=custody.hash_name)

    def sign(self, act: str, digest: Digest, who: str = "wang") -> str:
        """Return somebody's session signature."""
        return act_token(self.members[who].session, act, digest, self.clock())

    def awaiting(self, **changes: object) -> UUID:
        """Return a transfer that waits for votes."""
        request_id = self.file(self.ask_transfer(**changes))
        decide_transfer(self.custody, SHELL, request_id)
        return request_id

    def ballot(self, request_id: UUID, who: str, decision: str = "approve") -> str:
        """Return somebody's vote on a request."""
        return self.ballot_on(show_request(self.custody, request_id).request, who, decision)

    def ballot_on(self, request: Request, who: str, decision: str = "approve") -> str:
        """Return somebody's vote on a request as it was once shown."""
        member = self.members[who]
        return vote_token(member.key.signer(member.id), request, decision, self.clock())

    def vote(self, request_id: UUID, who: str, decision: str = "approve") -> VoteReceipt:
        """Cast somebody's vote."""
        return cast_vote(self.custody, SHELL, self.ballot(request_id, who, decision))

    def approved(self, **changes: object) -> UUID:
        """Return a transfer that two people approved."""
        request_id = self.awaiting(**changes)
        self.vote(request_id, "zhao")
        self.vote(request_id, "qian")
        return request_id

    def read(
        self,
        grant_id: UUID,
        who: str = "wang",
        customers: tuple[UUID, ...] | None = None,
        limit: int = 100,
    ) -> Reading:
        """Read under a grant in somebody's session."""
        shown = show_id(GRANT, grant_id)
        by = self.custody.hash_name
        digest = read_digest(self.custody.installation_id, shown, customers, limit, by=by)
        token = self.sign(READ, digest, who)
        return read(self.custody, SHELL, token, grant_id, customer_ids=customers, limit=limit)

    def store(self, people: Iterable[Mapping[str, str]], **more: object) -> list[UUID]:
        """Seal one record of `customers` per person, with consents, and return their customers."""
        return [self.store_one(dict(values), **more) for values in people]

    def store_one(
        self,
        values: dict[str, str],
        *,
        raised: Mapping[str, Level] | None = None,
        ends_on: date | None = None,
        kinds: tuple[tuple[str, str, str], ...] = (
            ("insurance_service", PURPOSE, ""),
            ("insurance_service", SENSITIVE, ""),
            ("partner_service", RECIPIENT, PARTNER),
        ),
        customer: UUID | None = None,
    ) -> UUID:
        """Seal one record and record the consents named."""
        custody = self.custody
        new, customer = customer is None, customer or random_id()
        with transaction(custody.data) as connection:
            if new:
                add_customers(connection, [customer], self.clock())
        key = custody.keyring.data_keys({(customer, "open"): 1}, self.clock())[customer, "open"]
        dataset = custody.policy.dataset("customers")
        record_id = time_ordered_id(self.clock())
        payloads: dict[Level, dict[int, str | int]] = {Level.GENERAL: {PSEUDONYM: new_pseudonym()}}
        for name, value in values.items():
            level = (raised or {}).get(name, dataset.field(name).level)
            payloads.setdefault(level, {}).update(to_payload(dataset, {name: value}))
        seals = seal_payloads(
            custody,
            key,
            payloads,
            record_id=record_id,
            customer_id=customer,
            dataset="customers",
            version=1,
        )
        row = RecordRow(
            id=record_id,
            period="open",
            customer_id=customer,
            dataset="customers",
            purpose="insurance_service",
            namespace="legacy",
            version=1,
            key_id=key.key_id,
            **seals,
            ends_on=ends_on,
            level_raised=bool(raised),
            batch_id=uuid4(),
            row_number=1,
            stored_at=self.clock(),
        )
        with transaction(custody.data) as connection:
            open_period(connection, "open")
            copy_records(connection, [row])
            add_consents(connection, [self._consent(customer, *kind) for kind in kinds])
        return customer

    def withdraw(self, customer: UUID, purpose: str, recipient: str = "") -> int:
        """Withdraw a consent as the act does, and return the number of its ledger entry."""
        with transaction(self.custody.data) as connection:
            lock_customers(connection, [customer])
            count = withdraw_consents(connection, customer, purpose, recipient, self.clock())
            facts = {"purpose": purpose, "consents": count}
            return record(connection, self.custody, SHELL, "consent:subject:withdrawn", facts)

    def _consent(self, customer: UUID, purpose: str, kind: str, recipient: str) -> NewConsent:
        facts = Consent(
            purpose=purpose,
            kind=kind,
            recipient=recipient,
            given_at=self.clock() - timedelta(days=30),
            withdrawn_at=None,
            notice_version=NOTICE,
            notice_shown_at=self.clock() - timedelta(days=31),
            control_id=f"{purpose}-{kind}",
            control_initial="unchecked",
            text_digest="ab" * 32,
            act="tick",
        )
        tag = uuid4().bytes
        return NewConsent(
            consent_id=time_ordered_id(self.clock()),
            customer_id=customer,
            facts=facts,
            document=None,
            row_tag=tag,
            batch_id=None,
            recorded_at=self.clock(),
        )


def with_partner_key(policy: Policy, key: str) -> Policy:
    """Return the policy with the recipient's key replaced by one whose private half is known."""
    partner = replace(policy.recipients[PARTNER], key=key)
    return replace(policy, recipients={**policy.recipients, PARTNER: partner})


def build_house(
    databases: Databases,
    folder: Path,
    staff: tuple[tuple[str, str], ...] = STAFF,
    suite: Suite = AES_256_GCM,
) -> House:
    """Create an installation with two officers, two approvers and two business people."""
    clock = Clock()
    partner = pyrage.x25519.Identity.generate()
    policy = with_partner_key(load_policy(ROOT / "config" / "policy"), str(partner.to_public()))
    policy = replace(policy, settings=replace(policy.settings, suite=suite))
    places = Places(
        data_url=databases.app_url,
        keys_url=databases.keys_url,
        keystore=folder / "keystore.json",
        root=RootPlace(key_file=folder / "root.key"),
        outbox=folder / "outbox",
        outside=in_folders(folder / "checkpoints", folder),
    )
    create_installation(places, policy, SHELL, clock, synthetic=True)
    house = House(
        custody=open_custody(places, policy, clock), clock=clock, folder=folder, partner=partner
    )
    for name, role in staff:
        house.hire(name, role)
    return house


def close_house(house: House) -> None:
    """Close the installation's connections."""
    close_custody(house.custody)


def person(number: int = 1) -> dict[str, str]:
    """Return an invented customer's values."""
    return {
        "customer_no": f"K{number:06d}",
        "name": "王小明",
        "resident_id": "11010519491231002X",
        "mobile": f"138{number:08d}",
        "health_note": "无",
    }
