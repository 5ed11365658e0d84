"""Doing a unit of work again while others change what it relies on."""

from collections.abc import Callable
from typing import Final, TypeVar

from custody.acts.subjects import ChangedMeanwhileError
from custody.database.engine import DatabaseError
from custody.keys.turning import PeriodClosedError
from custody.seal import KeyMissingError

ATTEMPTS: Final = 8
_RACES: Final = frozenset(
    {
        *("identity_tags_pkey", "identity_tags_single"),
        *("record_keys_pkey", "record_keys_record_id_key"),
    }
)
_T = TypeVar("_T")


def again_if_changed(act: Callable[[], _T]) -> _T:
    """Do a unit of work again while others change what it relies on, a few times at most."""
    for _ in range(ATTEMPTS - 1):
        try:
            return act()
        except (ChangedMeanwhileError, KeyMissingError, PeriodClosedError):
            continue
        except DatabaseError as error:
            if not (error.is_deadlock or error.constraint in _RACES):
                raise
    return act()
