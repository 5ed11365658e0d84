"""``custody bench``: the figures of the README, measured here and now."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.output import note, show

if TYPE_CHECKING:
    from benchmarks.rows import Row


_WHOLE_FROM: Final = 1000


class What(StrEnum):
    """What can be measured."""

    ALL = "all"
    SEAL = "seal"
    KEYS = "keys"
    REKEY = "rekey"


def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")] = What.ALL,
    *,
    customers: Annotated[
        int, typer.Option(min=1000, help="How many customers to measure on.")
    ] = 100_000,
    repeat: Annotated[int, typer.Option(min=1, help="How often; medians are shown.")] = 3,
    to: Annotated[Path | None, typer.Option(help="A JSON file to write the figures to.")] = None,
) -> None:
    """Measure speed on a private server of its own, side by side with what it is compared to.

    Nothing of an installation is used or touched.
    """
    note("measuring")
    rows = _measure(what, customers, repeat)
    document: dict[str, object] = {
        "customers": customers,
        "repeat": repeat,
        "rows": [{**asdict(row), "holds": row.holds} for row in rows],
    }
    if to is not None:
        to.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    show(document | {"rows": [_shown(row) for row in rows]}, "measured")


def _measure(what: What, customers: int, repeat: int) -> "list[Row]":
    from benchmarks import rows
    from benchmarks.ground import ground

    if what is What.SEAL:
        return rows.seals(repeat)
    with ground() as made:
        measures = {What.KEYS: rows.keys, What.REKEY: rows.rekeys, What.ALL: rows.all_of}
        return measures[what](made, customers, repeat)


def _shown(row: "Row") -> dict[str, object]:
    wanted = "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:g}"
    number = f"{row.value:,.0f}" if row.value >= _WHOLE_FROM else f"{row.value:.3g}"
    return {
        "measured": row.name,
        "value": f"{number} {row.unit}",
        "target": wanted,
        "holds": row.holds,
        "detail": row.detail,
    }
