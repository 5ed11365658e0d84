"""Who is who: a row's subject references against the identity tags custody knows.

References that lead to different customers, or a second value of a reference of which a customer
has one, contradict each other. Contradictions are never merged (design, "Who is who").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from custody.errors import CustodyError


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One subject reference of a row, as its identity tag."""

    name: str
    single: bool
    tag: bytes
    suppression_tag: bytes


class IdentityConflictError(CustodyError):
    """The references of one row belong to different people."""

    code = "identity_conflict"


@dataclass(slots=True)
class Directory:
    """The identity tags relevant to a chunk, growing as its rows bring new ones.

    Attributes:
        by_tag: Whose each known tag is.
        singles: The one tag of each single-valued reference of a customer.
        learnt: The tags that this chunk adds, in order.
    """

    by_tag: dict[bytes, UUID]
    singles: dict[tuple[UUID, str], bytes]
    learnt: list[tuple[UUID, Reference]] = field(default_factory=list)

    def find(self, references: Sequence[Reference]) -> UUID | None:
        """Return the customer the references lead to, None when nobody knows any of them.

        Raises:
            IdentityConflictError: They lead to two customers, or contradict a single-valued one.
        """
        customers = {self.by_tag[r.tag] for r in references if r.tag in self.by_tag}
        if len(customers) > 1:
            raise IdentityConflictError
        for customer in customers:
            self._require_agreement(customer, references)
            return customer
        return None

    def learn(self, customer: UUID, references: Iterable[Reference]) -> None:
        """Attach the references to the customer; those known already stay."""
        for reference in references:
            if reference.tag in self.by_tag:
                continue
            self.by_tag[reference.tag] = customer
            if reference.single:
                self.singles[customer, reference.name] = reference.tag
            self.learnt.append((customer, reference))

    def _require_agreement(self, customer: UUID, references: Iterable[Reference]) -> None:
        for reference in references:
            known = self.singles.get((customer, reference.name))
            if reference.single and known is not None and known != reference.tag:
                raise IdentityConflictError
