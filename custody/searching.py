"""Search indexes: by what a value is found again, and how coarse its tag is.

An index holds keyed tags cut so short that several records share one: who finds a tag learns a set
of candidates, and a lookup opens them and compares. With ``n`` entries and ``b`` bits a tag is
shared by ``n / 2**b`` of them on average. That number is to lie between 2, below which a tag would
be almost a name, and the square root of ``n``, above which a lookup opens too much (threats T11).
Stores write tags that fit what their batch brings; where the whole has outgrown that, or shrunk,
the end of the next store or purge gives the index other tags.
"""

from math import floor, log2, sqrt
from typing import Final

from custody.errors import UsageError
from custody.policy.model import LAST_FOUR, Dataset, Field

FULL_BITS: Final = 16
_FEWEST: Final = 2
_SUFFIX: Final = 4


def index_of(dataset: str, field: Field, how: str) -> str:
    """Return the name of the index of a field for one way to search; numbers are for ever."""
    return f"{dataset}.{field.number}:{how}"


def searches_of(dataset: Dataset) -> list[tuple[Field, str]]:
    """Return every field that can be searched, with each way to search it."""
    return [(field, how) for field in dataset.fields for how in sorted(field.search)]


def term_of(how: str, value: str) -> str:
    """Return the part of a value that is looked for."""
    return value[-_SUFFIX:] if how == LAST_FOUR else value


def indexes_of(dataset: Dataset) -> list[str]:
    """Return the names of all indexes that a dataset has."""
    return [index_of(dataset.name, field, how) for field, how in searches_of(dataset)]


def require_searchable(dataset: Dataset, name: str, how: str) -> Field:
    """Return the field, which the policy must let be searched so.

    Raises:
        UnknownNameError: The dataset has no such field.
        UsageError: No index is kept of it, or not for this way to search.
    """
    field = dataset.field(name)
    if how not in field.search:
        raise UsageError("the policy keeps no such index", f"{dataset.name}.{name}: {how}")
    return field


def fitting_bits(entries: int, bits: int) -> int:
    """Return how many bits the tags of an index should have, ``bits`` where those still fit.

    Args:
        entries: How many entries the index has.
        bits: How many bits their tags have now.
    """
    shared = entries / 2**bits
    if (shared >= _FEWEST or bits == 0) and shared <= max(sqrt(entries), _FEWEST):
        return bits
    if entries < 2 * _FEWEST:
        return 0
    return min(FULL_BITS, floor(log2(entries / _FEWEST)))


def cut(tag: bytes, bits: int) -> bytes:
    """Return a tag with all behind its first ``bits`` set to zero."""
    behind = FULL_BITS - bits
    if not behind:
        return tag
    return (int.from_bytes(tag, "big") >> behind << behind).to_bytes(FULL_BITS // 8, "big")
