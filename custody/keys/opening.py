"""Opening many keys where one that is damaged must not stop the rest."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

from custody.seal import DataKey, SealInvalidError

_Name = TypeVar("_Name")


def those_that_open(
    open_all: Callable[[Collection[_Name]], dict[_Name, DataKey]], wanted: Collection[_Name]
) -> dict[_Name, DataKey]:
    """Return the keys that open; those that are destroyed or damaged are missing.

    Args:
        open_all: Opens several at once, and fails where one is damaged.
        wanted: What they are asked for by.
    """
    with suppress(SealInvalidError):
        return open_all(wanted)
    found = dict[_Name, DataKey]()
    for one in wanted:
        with suppress(SealInvalidError):
            found |= open_all([one])
    return found
