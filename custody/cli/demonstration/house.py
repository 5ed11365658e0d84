"""The demo's house: a fresh synthetic installation, its policy, its people and its partner."""

import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import pyrage  # type: ignore[import-untyped]  # it ships no types

from config.installation import now, open_with, places
from config.settings import Settings
from custody.acts.context import Actor, Custody
from custody.acts.session import login
from custody.acts.setup import create_installation
from custody.acts.staff import add_staff, enrol, enrolment_token, find_staff
from custody.database.migrate import migrate
from custody.embedded.home import MARK, Home, write_private
from custody.embedded.locks import is_held
from custody.embedded.postgres import EmbeddedPostgres
from custody.embedded.runtime import Running
from custody.errors import UsageError
from custody.keys.person import PersonKey, create_person_key
from custody.keys.session import SessionKey
from custody.policy.load import load_policy
from custody.policy.template import template_documents

PARTNER: Final = "rescue_partner"
_MARK: Final = "demo.json"
_ROLES: Final = (
    ("officer", "compliance_officer", "保密管理部"),
    ("second_officer", "compliance_officer", "保密管理部"),
    ("approver", "approver", "风险管理部"),
    ("second_approver", "approver", "法务部"),
    ("business", "business", "客户服务部"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Somebody of the demo's staff, with the keys that sign for them."""

    staff_id: UUID
    key: PersonKey
    session: SessionKey


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """The open installation and everybody in it."""

    custody: Custody
    actor: Actor
    members: dict[str, Member]

    @property
    def approvers(self) -> tuple[Member, Member]:
        """The two people who approve; neither asks for anything."""
        return self.members["approver"], self.members["second_approver"]


def clear_earlier_demo(settings: Settings) -> None:
    """Remove an earlier demo from the home; anything else that lies there is left alone.

    Raises:
        UsageError: The home holds a real installation, or a demo that is in use.
    """
    home = settings.home
    if not (home / MARK).exists():
        return
    kept = {MARK, "run", "log"}
    others = [path for path in home.iterdir() if path.name not in kept]
    if others and not (home / _MARK).exists():
        raise UsageError(
            "this CUSTODY_HOME holds an installation that is no demo; name another CUSTODY_HOME"
        )
    if is_held(EmbeddedPostgres(home).service.lease):
        raise UsageError("a demo in this CUSTODY_HOME is in use; stop custody up first")
    for path in others:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def found_house(settings: Settings, where: Running, actor: Actor) -> House:
    """Create the synthetic installation and its people, and open it.

    Raises:
        UsageError: The databases hold an installation already.
    """
    home = Home.open(settings.home)
    write_private(home.path / _MARK, json.dumps({"synthetic": True}))
    if where.owner_url and where.keys_owner_url:
        migrate(where.owner_url, where.keys_owner_url)
    folder = _folder(home.path / "demo")
    _folder(home.path / "keys")
    _write_policy(home.path / "policy", folder / "partner.agekey")
    policy = load_policy(home.path / "policy")
    create_installation(places(settings, where), policy, actor, now, synthetic=True)
    custody = open_with(settings, where)
    return House(custody=custody, actor=actor, members=_hire(custody, actor, folder))


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _write_policy(folder: Path, partner_key: Path) -> None:
    """Write the insurer's policy with a partner whose private key lies in the demo's folder."""
    identity = pyrage.x25519.Identity.generate()
    write_private(partner_key, f"{identity}\n")
    documents = dict(template_documents("insurer"))
    documents["recipients.yaml"] = _with_key(
        documents["recipients.yaml"], str(identity.to_public())
    )
    for name, text in documents.items():
        file = folder / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, text)


def _with_key(text: str, key: str) -> str:
    """Return the recipients with another key for the partner."""
    head, mark, rest = text.partition(f"  {PARTNER}:")
    before, label, after = rest.partition("key: ")
    return f"{head}{mark}{before}{label}{key}\n{after.partition(chr(10))[2]}"


def _hire(custody: Custody, actor: Actor, folder: Path) -> dict[str, Member]:
    """Add and enrol everybody; from the third person on an officer signs for the key."""
    members: dict[str, Member] = {}
    for name, role, department in _ROLES:
        officer = members.get("officer") if len(members) > 1 else None
        members[name] = _hire_one(custody, actor, folder, (name, role, department), officer)
    return members


def _hire_one(
    custody: Custody,
    actor: Actor,
    folder: Path,
    about: tuple[str, str, str],
    officer: Member | None,
) -> Member:
    name, role, department = about
    staff_id = add_staff(custody, actor, name=name, department=department, role=role)
    words = secrets.token_urlsafe(18)
    write_private(folder / f"{name}.passphrase", words + "\n")
    key = create_person_key(folder / f"{name}.key", words.encode())
    vouched = None
    if officer is not None:
        vouched = enrolment_token(
            officer.key.signer(officer.staff_id),
            find_staff(custody, staff_id),
            key.public,
            installation=custody.installation_id,
            at=custody.now(),
        )
    enrol(custody, actor, staff_id, key.public, vouched)
    session = login(custody, actor, key, folder / f"{name}.session")
    return Member(staff_id=staff_id, key=key, session=session)
