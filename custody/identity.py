"""Who is who: a row's subject references against the identity tags custody knows.

References that lead to different customers, or a second value of a reference of which a customer
has one, contradict each other. Contradictions are never merged (design, "Who is who").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from custody.errors import CustodyError
from custody.reference import IDENTITY


class Kind(msgspec.Struct, frozen=True):
    """A kind of subject reference, and how its values are tagged.

    Attributes:
        name: Its name, with the namespace before it where it is unique only there.
        single: Whether one customer has one value of it.
        before: How they were tagged in the epoch that is ending, if one is.
    """

    name: str
    single: bool
    identity: Callable[[str], bytes]
    suppression: Callable[[str], bytes]
    before: Callable[[str], bytes] | None = None


class Reference(msgspec.Struct, frozen=True):
    """One subject reference of a row, as its identity tag."""

    kind: Kind
    value: str
    tag: bytes

    def __repr__(self) -> str:
        """Show the kind and not the value."""
        return f"Reference({self.kind.name})"

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name

    @property
    def single(self) -> bool:
        """Whether one customer has one value of it."""
        return self.kind.single

    @property
    def tag_before(self) -> bytes | None:
        """The tag of the epoch that is ending, None where none is."""
        return self.kind.before(self.value) if self.kind.before else None

    @property
    def suppression_tag(self) -> bytes:
        """The tag that outlives an erasure; made when it is asked for, for few rows need it."""
        return self.kind.suppression(self.value)


def refer(kind: Kind, value: str) -> Reference:
    """Return the reference of this kind with this value."""
    return Reference(kind, value, kind.identity(value))


class IdentityConflictError(CustodyError):
    """The references of one row belong to different people."""

    code = "identity_conflict"


@dataclass(slots=True)
class Directory:
    """The identity tags relevant to a chunk, growing as its rows bring new ones.

    Attributes:
        epoch: Of which epoch the tags are; those known under an earlier one are here as of this.
        by_tag: Whose each known tag is.
        singles: The one tag of each single-valued reference of a customer.
        learnt: The tags that this chunk adds, in order.
    """

    epoch: int
    by_tag: dict[bytes, UUID]
    singles: dict[tuple[UUID, str], bytes]
    learnt: list[tuple[UUID, Reference]] = field(default_factory=list)

    def find(self, references: Sequence[Reference]) -> UUID | None:
        """Return the customer the references lead to, None when nobody knows any of them.

        Raises:
            IdentityConflictError: They lead to two customers, or contradict a single-valued one.
        """
        by_tag = self.by_tag
        found: UUID | None = None
        for reference in references:
            customer = by_tag.get(reference.tag)
            if customer is None:
                continue
            if found is not None and customer != found:
                raise IdentityConflictError
            found = customer
        if found is not None:
            self._require_agreement(found, references)
        return found

    def learn(self, customer: UUID, references: Iterable[Reference]) -> None:
        """Attach the references to the customer; those known already stay."""
        for reference in references:
            if reference.tag in self.by_tag:
                continue
            self.by_tag[reference.tag] = customer
            if reference.single:
                self.singles[customer, reference.name] = reference.tag
            self.learnt.append((customer, reference))

    def keys_wanted(self, generations: Mapping[UUID, int]) -> dict[tuple[UUID, str], int]:
        """Return the generation of each customer of whom something was learnt, to be sealed.

        Args:
            generations: Those of the customers that there were before.
        """
        return {(one, IDENTITY): generations.get(one, 1) for one, _ in self.learnt}

    def _require_agreement(self, customer: UUID, references: Iterable[Reference]) -> None:
        for reference in references:
            known = self.singles.get((customer, reference.name))
            if reference.single and known is not None and known != reference.tag:
                raise IdentityConflictError
