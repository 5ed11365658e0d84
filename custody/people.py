"""People of the firm, as decisions see them."""

from dataclasses import dataclass
from uuid import UUID

from custody.errors import Reason
from custody.identifiers import STAFF, show_id
from custody.policy.model import Level, Policy

ACTIVE = "active"


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A member of staff; the role is a name of the policy."""

    id: UUID
    name: str
    department: str
    role: str
    state: str

    @property
    def active(self) -> bool:
        """Whether the person still works here."""
        return self.state == ACTIVE

    @property
    def shown(self) -> str:
        """The identifier as it is shown: ``staff_…``."""
        return show_id(STAFF, self.id)


def may(policy: Policy, person: Person, action: str) -> bool:
    """Whether the person's role permits the action; a role the policy lost permits nothing."""
    role = policy.roles.get(person.role)
    return role is not None and action in role.may


def highest_rank(policy: Policy, person: Person) -> int:
    """Return the rank of the highest level the person's role reaches, -1 without a role."""
    role = policy.roles.get(person.role)
    return -1 if role is None else role.up_to.rank


def person_reasons(policy: Policy, person: Person, action: str) -> list[Reason]:
    """Return why the person may not do ``action``: gone (H2.3e), or the role does not say so."""
    reasons = []
    if not person.active:
        reasons.append(Reason(code="staff_inactive", about=person.shown))
    if not may(policy, person, action):
        reasons.append(Reason(code="role_not_permitted", about=action))
    return reasons


def level_reasons(policy: Policy, person: Person, levels: dict[str, Level]) -> list[Reason]:
    """Return the fields that lie above the level of the person's role."""
    reach = highest_rank(policy, person)
    return [
        Reason(code="level_not_permitted", about=field)
        for field, level in sorted(levels.items())
        if level.rank > reach
    ]
