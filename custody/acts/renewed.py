"""What a page of seals came to that were to be sealed again."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """What a page came to.

    Attributes:
        seals: How many were sealed again.
        unreadable: How many did not open, or have no key, and stay as they are.
    """

    seals: int
    unreadable: int
