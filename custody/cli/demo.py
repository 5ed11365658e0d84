"""``custody demo``: synthetic customers, or Chinook, through all five stages, with no set-up."""

import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from custody.cli.manner import manner
from custody.cli.output import table, text, to_json
from custody.errors import CustodyError, UsageError
from custody.messages import message

if TYPE_CHECKING:
    from custody.cli.demonstration.play import Script

_DEFAULT_CUSTOMERS: Final = 5000
_FEWEST, _MOST = 20, 1_000_000
_LOOKS_AHEAD: Final = timedelta(days=365)
_SQLITE: Final = "sqlite:///"


class DemoDisagreesError(CustodyError):
    """The demo's own check found what should not be: counts, refusals or the record disagree."""

    code = "demo_disagrees"

    def __init__(self, differences: tuple[str, ...]) -> None:
        super().__init__(differences)
        self.differences = differences

    def __str__(self) -> str:
        """Return the first differences; they name sources, rows and codes."""
        return f"the demo disagrees with what was planted: {'; '.join(self.differences[:5])}"


def demo(
    *,
    customers: Annotated[
        int, typer.Option(min=_FEWEST, max=_MOST, help="How many synthetic customers.")
    ] = _DEFAULT_CUSTOMERS,
    source: Annotated[
        str, typer.Option(help="A Chinook database to take instead: sqlite:///PATH.")
    ] = "",
    as_of: Annotated[
        str | None,
        typer.Option(help="The day as of which the purge is planned, YYYY-MM-DD; a year ahead."),
    ] = None,
) -> None:
    """Take a synthetic firm's customers through all five stages, in a fresh CUSTODY_HOME.

    An earlier demo in the same CUSTODY_HOME is replaced; a real installation is never touched.
    """
    from custody.cli.demonstration.play import play
    from custody.cli.session import load_settings, os_user

    began = time.monotonic()
    document = play(load_settings(), _script(customers, source, as_of), os_user(), _Progress())
    document["seconds"] = round(time.monotonic() - began)
    if manner().json:
        print(to_json(document))
    elif manner().quiet:
        print(document["report"])
    else:
        print("\n".join(_summary(document)))
    _require_agreement(document)


class _Progress:
    """Tells people on stderr which scene begins, and after how many seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, scene: str) -> None:
        if not manner().shows_progress:
            return
        key, _, about = scene.partition(" ")
        seconds = time.monotonic() - self._began
        print(f"{seconds:5.1f} s  {text(key, about=about)}", file=sys.stderr, flush=True)


def _script(customers: int, source: str, as_of: str | None) -> "Script":
    import os
    from datetime import date

    from config.installation import now
    from custody.cli.demonstration.play import CHINOOK_VARIABLE, Script

    if source:
        _require_database(source)
        os.environ[CHINOOK_VARIABLE] = source
    try:
        day = date.fromisoformat(as_of) if as_of else (now() + _LOOKS_AHEAD).date()
    except ValueError:
        raise UsageError("not a day like 2027-11-23", "--as-of") from None
    return Script(customers=customers, source=source, as_of=day)


def _require_database(source: str) -> None:
    path = Path(source.removeprefix(_SQLITE))
    if not source.startswith(_SQLITE) or not path.is_file():
        raise UsageError("not the URL of a SQLite file that is there (sqlite:///PATH)", "--source")


def _require_agreement(document: Mapping[str, Any]) -> None:
    """Refuse success where the demo's own check fails.

    Raises:
        DemoDisagreesError: With what disagrees.
    """
    stages = document["stages"]
    ingest, store, destroy = (stages[name] for name in ("ingest", "store", "destroy"))
    sums = {
        "read = accepted + refused": ingest["read"] == ingest["accepted"] + ingest["refused"],
        "stored = accepted": store["stored"] == ingest["accepted"],
        "destroyed + kept = stored": destroy["destroyed"] + destroy["kept"] == store["stored"],
        "something was stored": store["stored"] > 0,
    }
    wrong = [what for what, holds in sums.items() if not holds]
    wrong += document["check"]["differences"] + document["verify"]["differences"]
    if wrong:
        raise DemoDisagreesError(tuple(wrong))


def _summary(document: Mapping[str, Any]) -> list[str]:
    stages = document["stages"]
    return [
        "",
        text("demo_done", seconds=document["seconds"]),
        "",
        *table(list(_stage_rows(stages))),
        "",
        text("demo_reasons"),
        *(f"  {line}" for line in table(list(_reason_rows(stages["ingest"]["reasons"])))),
        "",
        _check_line(document["check"]["planted"]),
        text("demo_report", report=document["report"]),
        "",
        text("demo_next"),
        *(f"  {command}" for command in document["next"]),
    ]


def _check_line(planted: int) -> str:
    return text("demo_check", planted=planted) if planted else text("demo_check_none")


def _stage_rows(stages: Mapping[str, Any]) -> list[dict[str, object]]:
    ingest, store, destroy = (stages[name] for name in ("ingest", "store", "destroy"))
    uses = [request["decision"] for request in stages["use"]["requests"]]
    transfers = stages["transfer"]["requests"]
    facts = {
        "ingest": text("demo_ingested", **_numbers(ingest, "read", "accepted", "refused")),
        "store": text("demo_stored", **_numbers(store, "stored", "customers", "level_raised")),
        "use": text("demo_used", granted=uses.count("granted"), refused=uses.count("refused")),
        "transfer": text(
            "demo_transferred",
            rows=sum(transfer["rows"] for transfer in transfers),
            left_out=sum(sum(transfer["left_out"].values()) for transfer in transfers),
        ),
        "destroy": text("demo_destroyed", **_numbers(destroy, "destroyed", "kept", "held")),
    }
    return [{"stage": text(f"stage_{name}"), "result": fact} for name, fact in facts.items()]


def _numbers(part: Mapping[str, Any], *names: str) -> dict[str, str | int]:
    return {name: f"{part[name]:,}" for name in names}


def _reason_rows(reasons: Mapping[str, int]) -> list[dict[str, object]]:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    lang = manner().lang
    return [
        {"rows": count, "code": code, "reason": message(code, lang).title}
        for code, count in ordered
    ]
