"""The figures as a picture: how near each comes to what was wanted, as one SVG."""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Final

from benchmarks.table import Row

_WIDTH, _LINE, _LEFT, _RIGHT = 860, 26, 400, 60
_LOWEST, _HIGHEST = 0.01, 100.0
_REACHED, _SHORT = "#2c7a4b", "#b3541e"
_FONT: Final = "font-family='sans-serif' font-size='12'"


def plot(rows: Sequence[Row], title: str) -> str:
    """Return bars, on a logarithmic scale, of each figure divided by its target.

    Where less is better the quotient is turned over, so that to the right of the line is reached.
    """
    shown = [(row, _reached(row)) for row in rows if row.target is not None]
    height = _LINE * (len(shown) + 3)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{_WIDTH}' height='{height}' fill='white'/>",
        f"<text x='10' y='18' {_FONT} font-weight='bold'>{escape(title)}</text>",
    ]
    for place, (row, reached) in enumerate(shown):
        parts += _bar(row, reached, _LINE * (place + 2))
    line = _place(1.0)
    parts.append(
        f"<line x1='{line}' y1='{_LINE}' x2='{line}' y2='{height - _LINE}' stroke='black'/>"
        f"<text x='{line}' y='{height - 8}' {_FONT} text-anchor='middle'>target</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _reached(row: Row) -> float:
    if row.target is None or not row.value:
        raise AssertionError("a figure without a target or a value has no bar")
    return row.target / row.value if row.at_most else row.value / row.target


def _bar(row: Row, reached: float, top: int) -> list[str]:
    end = _place(reached)
    colour = _REACHED if row.holds else _SHORT
    start, width = min(end, _place(1.0)), max(abs(end - _place(1.0)), 1)
    return [
        f"<text x='{_LEFT - 8}' y='{top + 12}' {_FONT} text-anchor='end'>{escape(row.name)}</text>",
        f"<rect x='{start}' y='{top}' width='{width}' height='16' fill='{colour}'/>",
        f"<text x='{max(end, _place(1.0)) + 5}' y='{top + 12}' {_FONT}>{reached:.2f}</text>",
    ]


def _place(reached: float) -> int:
    bounded = min(max(reached, _LOWEST), _HIGHEST)
    share = (log10(bounded) - log10(_LOWEST)) / (log10(_HIGHEST) - log10(_LOWEST))
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))
