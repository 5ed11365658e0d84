"""Going over all keys of a table, page by page in order of id."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine

from custody.database.engine import transaction

PAGE: Final = 2000


class _Keyed(Protocol):
    @property
    def key_id(self) -> UUID: ...


_Key = TypeVar("_Key", bound=_Keyed)


def over_pages(
    engine: Engine,
    page: Callable[[Connection, UUID, int], Sequence[_Key]],
    do: Callable[[Connection, Sequence[_Key]], object],
) -> int:
    """Do something with every key, a page in each transaction; return how many there were.

    Args:
        engine: The key database.
        page: Returns the keys behind an id, at most so many.
        do: Does it with a page's.
    """
    count, after = 0, UUID(int=0)
    while True:
        with transaction(engine) as connection:
            keys = page(connection, after, PAGE)
            if not keys:
                return count
            do(connection, keys)
        count, after = count + len(keys), keys[-1].key_id
