"""The play: the scenes in their order, and the one document that tells what came of them.

The transfer is decided and delivered by the deployed flow, started by its events, while the demo's
own process goes on with the rest; all other flows run in this process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from config.settings import Settings
from custody.acts.context import Actor
from custody.approval import CLEAR, MASKED
from custody.cli.demonstration import scenes
from custody.cli.demonstration.house import House, clear_earlier_demo, found_house
from custody.cli.deploying import begin_deploying, finish_deploying
from custody.cli.prefect_process import as_prefect_client
from custody.demo.expect import differences
from custody.demo.legacy import SOURCES, Legacy, build_legacy
from custody.identifiers import INSTALLATION, show_id
from custody.reports.html import write_report

if TYPE_CHECKING:
    import subprocess

SEED: Final = 20_261_123
CHINOOK: Final = ("chinook_customers", "chinook_invoices")
CHINOOK_VARIABLE: Final = "CUSTODY_CHINOOK_URL"
CANNOT_TELL: Final = (
    "assessment_not_captured",
    "training_not_captured",
    "policy_approval_not_captured",
)
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What is played.

    Attributes:
        customers: How many synthetic people there are; unused with ``source``.
        source: The URL of a Chinook database to take instead, or empty.
        as_of: The day as of which the purge is planned.
    """

    customers: int
    source: str
    as_of: date


def play(settings: Settings, script: Script, actor: Actor, progress: Progress) -> dict[str, Any]:
    """Play the demo in a fresh synthetic installation and return its document.

    Args:
        settings: Where; an earlier demo there is replaced, anything else is refused.
        script: What.
        actor: Who runs the command.
        progress: Told of every scene before it begins, by the key of its words.
    """
    clear_earlier_demo(settings)
    progress("demo_start")
    with as_prefect_client(settings, worker=True) as where:
        deploying = begin_deploying(settings, where)
        progress("demo_found")
        house = found_house(settings, where, actor)
        return _all_scenes(settings, script, house, progress, deploying)


def _all_scenes(
    settings: Settings,
    script: Script,
    house: House,
    progress: Progress,
    deploying: "subprocess.Popen[bytes]",
) -> dict[str, Any]:
    taken = scenes.Taken()
    legacy = None if script.source else _build(settings, script, house, progress)
    first, rest = _sources(legacy)
    for source, place in first:
        progress(f"demo_ingest {source}")
        scenes.take_in(house, taken, source, place)
    finish_deploying(deploying)
    progress("demo_transfer_filed")
    transfer = scenes.file_transfer(house, *_transfer_of(script))
    for source, place in rest:
        progress(f"demo_ingest {source}")
        scenes.take_in(house, taken, source, place)
    stages = {
        "ingest": scenes.ingest_part(house, taken),
        "store": scenes.store_part(house, taken),
    }
    check = _check(legacy, house, taken)
    progress("demo_use")
    stages["use"] = {"requests": [scenes.ask_for_use(house, *use) for use in _uses_of(script)]}
    progress("demo_transfer_votes")
    stages["transfer"] = {"requests": [_finish_transfer(house, transfer)]}
    progress("demo_destroy")
    stages["destroy"] = _destroy(house, script, stages["store"])
    progress("demo_verify")
    document = _document(house, stages, scenes.verify_part(house), check)
    document["report"] = str(write_report(document, settings.home / "reports"))
    return document


def _build(settings: Settings, script: Script, house: House, progress: Progress) -> Legacy:
    progress("demo_build")
    return build_legacy(
        settings.home / "demo" / "legacy",
        customers=script.customers,
        seed=SEED,
        today=house.custody.today(),
        zone=house.custody.zone,
    )


Place = tuple[str, Path | None]


def _sources(legacy: Legacy | None) -> tuple[list[Place], list[Place]]:
    """Return what is taken in before the transfer is asked for, and what while it is decided."""
    if legacy is None:
        return [(CHINOOK[0], None)], [(CHINOOK[1], None)]
    places: list[Place] = [(source, legacy.paths[source]) for source in SOURCES]
    return places[:3], places[3:]


def _uses_of(script: Script) -> Sequence[tuple[str, Mapping[str, str]]]:
    """Return a use that is granted, and one that the rules refuse."""
    if script.source:
        granted = {"customer_no": CLEAR, "name": MASKED, "email": MASKED}
        return (("legacy_contract", granted), ("legacy_contract", {"resident_id": CLEAR}))
    granted = {"customer_no": CLEAR, "name": MASKED, "mobile": MASKED, "resident_id": MASKED}
    return (("insurance_service", granted), ("profiling", {"health_note": CLEAR}))


def _transfer_of(script: Script) -> tuple[str, Mapping[str, str]]:
    fields = {"customer_no": CLEAR, "name": CLEAR}
    return ("partner_service", fields if script.source else {**fields, "mobile": CLEAR})


def _finish_transfer(house: House, transfer: UUID) -> dict[str, Any]:
    state = scenes.wait_for(house, transfer, frozenset({"awaiting", "refused"}))
    if state == "awaiting":
        scenes.approve(house, transfer)
        scenes.wait_for(house, transfer, frozenset({"delivered", "refused"}))
    return scenes.transfer_part(house, transfer)


def _destroy(house: House, script: Script, store: Mapping[str, Any]) -> dict[str, Any]:
    """Destroy; versions that were replaced before count as destroyed too."""
    if not script.source:
        scenes.change_of_heart(house, "insurance_service")
    part = scenes.purge(house, script.as_of)
    return {**part, "destroyed": part["purged"] + store["replaced"]}


def _check(legacy: Legacy | None, house: House, taken: scenes.Taken) -> dict[str, Any]:
    """Compare what was refused with what was planted, row by row and code by code."""
    if legacy is None:
        return {"planted": 0, "differences": []}
    found = differences(legacy.expected.refusals, scenes.refused_rows(house, taken))
    return {"planted": len(legacy.planted), "differences": [str(one) for one in found]}


def _document(
    house: House, stages: Mapping[str, Any], verify: Mapping[str, Any], check: Mapping[str, Any]
) -> dict[str, Any]:
    custody = house.custody
    return {
        "installation": {
            "id": show_id(INSTALLATION, custody.installation_id),
            "synthetic": custody.synthetic,
            "created_at": custody.now().isoformat(timespec="seconds"),
        },
        "policy_digest": custody.policy.digest,
        "generated_at": custody.now().isoformat(timespec="seconds"),
        "stages": dict(stages),
        "check": dict(check),
        "verify": dict(verify),
        "cannot_tell": list(CANNOT_TELL),
        "runs": scenes.runs_part(house),
        "next": ["custody up", "custody verify --deep --prefect", "custody quarantine list"],
    }
