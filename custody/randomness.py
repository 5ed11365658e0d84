"""Randomness: the system's, asked for many times or once for many."""

import os
from collections.abc import Callable
from typing import Final, TypeAlias

Randomness: TypeAlias = Callable[[int], bytes]

_POOL_BYTES: Final = 1 << 13
_forks = 0


class Pool:
    """Random bytes, had from the system in blocks: for one piece of work, in one thread.

    A process that is forked off throws away what its parent had in stock, or both would draw the
    same bytes.
    """

    __slots__ = ("_at", "_block", "_forks")

    def __init__(self) -> None:
        self._block, self._at, self._forks = b"", 0, _forks

    def __call__(self, count: int) -> bytes:
        """Return so many bytes, at most a block, that nobody else is given."""
        end = self._at + count
        if end > len(self._block) or self._forks != _forks:
            self._block, self._at, self._forks = os.urandom(_POOL_BYTES), 0, _forks
            end = count
        drawn = self._block[self._at : end]
        self._at = end
        return drawn


def _forked() -> None:
    global _forks  # noqa: PLW0603 - of this process
    _forks += 1


os.register_at_fork(after_in_child=_forked)
