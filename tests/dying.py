"""A process that ends in the middle of its work: what a kill leaves, without the time it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from custody.steps import observed_by


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Death:
    """Whether the step was reached, and so the process ended."""

    came: bool = False


@contextmanager
def dying_at(step: str, passing: int = 1) -> Iterator[Death]:
    """End the block at the given passing of a named step; what comes behind the block goes on."""
    seen, death = 0, Death()

    def end(reached: str) -> None:
        nonlocal seen
        seen += reached == step
        if reached == step and seen == passing:
            raise Killed

    try:
        with observed_by(end):
            yield death
    except Killed:
        death.came = True
