"""Names of the entries of the keystore that are there from the beginning, and of tags."""

from typing import Final

from custody.suites import Suite

KEPT_TAG_ENTRIES: Final = ("search", "suppression", "content")
OTHER_ENTRIES: Final = ("consent", "signing")
FIRST_EPOCH: Final = 1


def tag_entry(name: str, suite: Suite) -> str:
    """Return the entry under which a key of tags lies, which says by what hash they are made."""
    return name if suite.digest.name == "sha256" else f"{name}/{suite.digest.name}"


def epoch_entry(epoch: int, suite: Suite) -> str:
    """Return the entry under which the key of an epoch of identity tags lies."""
    return tag_entry(f"tag/{epoch}", suite)


def read_epoch_entry(name: str) -> int | None:
    """Return the epoch behind such an entry, None where it is another's."""
    kind, *parts = name.split("/")
    return int(parts[0]) if kind == "tag" else None
