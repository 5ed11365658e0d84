"""The table of figures in both READMEs, made from the last run that was kept.

``custody bench all --to benchmarks/figures.json --plot docs/figures.svg``, and then
``python -m benchmarks.figures``.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "benchmarks" / "figures.json"
_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"
_WHOLE_FROM: Final = 1000
_RULE: Final = "|---|---|---|---|---|"
_HEADS: Final[Mapping[str, str]] = {
    "README.md": "| measured | value | wanted | holds | |",
    "README.zh.md": "| 测量项 | 结果 | 目标 | 达到 | |",
}
_NOTES: Final[Mapping[str, str]] = {
    "README.md": "Commit `{commit}`, {customers:,} customers, {cores} cores, Python {python},"
    " PostgreSQL {postgresql}, policy `{policy:.12}`; medians of {repeat}.",
    "README.zh.md": "提交 `{commit}`,{customers:,} 位客户,{cores} 核,Python {python},"
    "PostgreSQL {postgresql},策略 `{policy:.12}`;{repeat} 次的中位数。",
}
_HOLDS: Final = {True: "✓", False: "✗", None: ""}


def table(found: Mapping[str, Any], name: str) -> str:
    """Return the figures as the README of that name shows them."""
    lines = [_HEADS[name], _RULE, *(_line(row) for row in found["rows"])]
    return "\n".join([*lines, "", _NOTES[name].format(**found)])


def written(text: str, found: Mapping[str, Any], name: str) -> str:
    """Return a README's text with the figures in their place.

    Raises:
        ValueError: It has no place for them.
    """
    place = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not place.search(text):
        raise ValueError(name)
    return place.sub(lambda _: f"{_BEGIN}\n\n{table(found, name)}\n\n{_END}", text)


def _line(row: Mapping[str, Any]) -> str:
    value, target = row["value"], row["target"]
    shown = f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.3g}"
    wanted = "" if target is None else f"{'≤' if row['at_most'] else '≥'} {target:,g}"
    cells = (row["name"], f"{shown} {row['unit']}", wanted, _HOLDS[row["holds"]], row["detail"])
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the kept figures into both READMEs."""
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    for name in _HEADS:
        path = ROOT / name
        path.write_text(written(path.read_text(encoding="utf-8"), found, name), encoding="utf-8")


if __name__ == "__main__":
    main()
