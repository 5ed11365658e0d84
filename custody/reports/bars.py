"""Bars as numbers: where each part of a bar begins and how wide it is, out of :data:`FULL`.

The templates draw them as inline SVG, stretched to the width at hand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

FULL: Final = 1000
"""The width of a whole bar, in the units of its view box."""

_VISIBLE: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of a bar.

    Attributes:
        name: What it stands for; the style sheet colours it by this name.
    """

    name: str
    value: int
    x: float
    width: float


def stacked(values: Mapping[str, int], *, scale: int | None = None) -> tuple[Part, ...]:
    """Return the parts of one bar, in order, leaving out what is zero.

    Args:
        values: The size of each part by name.
        scale: The value a full bar stands for; the sum of the values when None.
    """
    whole = max(scale if scale is not None else sum(values.values()), 1)
    parts, x = [], 0.0
    for name, value in values.items():
        if value > 0:
            width = FULL * value / whole
            parts.append(Part(name=name, value=value, x=round(x, 2), width=round(width, 2)))
            x += width
    return tuple(parts)


def single(name: str, value: int, largest: int) -> tuple[Part, ...]:
    """Return a bar of one part against the ``largest`` of its chart; a small one stays visible."""
    width = max(FULL * value / max(largest, 1), _VISIBLE if value else 0)
    return (Part(name=name, value=value, x=0.0, width=round(width, 2)),)


def ranked(counts: Mapping[str, int], names: Iterable[str]) -> list[tuple[str, int]]:
    """Return those of ``counts`` that are in ``names``, the largest first, ties by name."""
    chosen = [(name, counts[name]) for name in names if name in counts]
    return sorted(chosen, key=lambda pair: (-pair[1], pair[0]))
