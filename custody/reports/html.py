"""The report on one round of the five stages as an HTML page: no script, nothing from outside.

It is given one document of counts, codes and identifiers, the same that ``custody demo --json``
prints. Whatever the document leaves out is shown as nothing, never guessed.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment

from custody.codes import codes_of
from custody.messages import LANGUAGES
from custody.reports.bars import FULL, ranked, single, stacked
from custody.reports.templating import page_environment
from custody.reports.words import (
    breakable,
    code_article,
    code_title,
    destroy_reason,
    grouped,
    instant,
    short,
    state_name,
    words,
)

Document = Mapping[str, Any]

_REFUSAL_KINDS: Final = ("quality", "basis", "identity")
_EMPTY: Final[Document] = {
    "installation": {"id": "", "synthetic": False, "created_at": ""},
    "policy_digest": "",
    "generated_at": "",
    "stages": {
        "ingest": {
            "read": 0,
            "accepted": 0,
            "refused": 0,
            "unchanged": 0,
            "dropped_fields": {},
            "sources": [],
            "reasons": {},
        },
        "store": {"stored": 0, "replaced": 0, "customers": 0, "levels": {}, "level_raised": 0},
        "use": {"requests": []},
        "transfer": {"requests": []},
        "destroy": {
            "plan": "",
            "as_of": "",
            "destroyed": 0,
            "kept": 0,
            "reasons": {},
            "held": 0,
            "certificate": "",
        },
    },
    "verify": {"ok": False, "entries": 0, "head": "", "runs": 0},
    "cannot_tell": [],
    "runs": [],
    "next": [],
}


def write_report(document: Document, folder: Path, lang: str = "zh") -> Path:
    """Write the report in every language into ``folder`` and return the page in ``lang``.

    The pages link to each other by name, so they may be moved together.

    Raises:
        UsageError: There is no such language.
    """
    words(lang)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in LANGUAGES:
        page = folder / page_name(one)
        page.touch(mode=0o600)
        page.write_text(render_report(document, one), encoding="utf-8")
    return folder / page_name(lang)


def page_name(lang: str) -> str:
    """Return the file name of the page in one language."""
    return f"report-{lang}.html"


def render_report(document: Document, lang: str) -> str:
    """Return the report as one HTML page.

    Args:
        document: What happened, in the shape of ``custody demo --json``: counts, codes,
            identifiers and digests only. It must not hold anything about a customer.
        lang: ``zh`` or ``en``.

    Raises:
        UsageError: There is no such language.
    """
    whole = _completed(_EMPTY, document)
    template = _environment().get_template("report.html.j2")
    other = next(one for one in LANGUAGES if one != lang)
    return template.render(
        lang=lang,
        other_page=page_name(other),
        words=words(lang),
        doc=whole,
        stages=whole["stages"],
        accounts=_accounts(whole["stages"]),
        refusals=_refusals(whole["stages"]["ingest"], lang),
        used=_counted(whole["stages"]["use"]["requests"], "decision", "refused"),
        transferred=_delivered(whole["stages"]["transfer"]["requests"]),
    )


@cache
def _environment() -> Environment:
    environment = page_environment()
    environment.filters.update(
        breakable=breakable,
        grouped=grouped,
        instant=instant,
        short=short,
        code_title=code_title,
        destroy_reason=destroy_reason,
        state_name=state_name,
    )
    environment.globals.update(stacked=stacked, single=single, ranked=ranked, FULL=FULL)
    return environment


def _completed(empty: Document, given: Document) -> dict[str, Any]:
    """Return ``given`` with everything it leaves out taken from ``empty``."""
    whole = dict(empty)
    for key, value in given.items():
        known = empty.get(key)
        if isinstance(known, Mapping) and known and isinstance(value, Mapping):
            whole[key] = _completed(known, value)
        elif value is not None:
            whole[key] = value
    return whole


def _accounts(stages: Document) -> dict[str, bool | int]:
    ingest, store, destroy = stages["ingest"], stages["store"], stages["destroy"]
    held = destroy["destroyed"] + destroy["kept"]
    return {
        "balanced": ingest["read"] == ingest["accepted"] + ingest["refused"]
        and store["stored"] == held,
        "scale": max(ingest["read"], store["stored"], held),
    }


def _refusals(ingest: Document, lang: str) -> list[dict[str, Any]]:
    """Return the reasons of refusal by kind, the most frequent first."""
    counts: Mapping[str, int] = ingest["reasons"]
    known = {kind: codes_of(kind) for kind in _REFUSAL_KINDS}
    kinds = known | {"other": frozenset(counts).difference(*known.values())}
    groups = [
        {
            "kind": kind,
            "reasons": [
                {
                    "code": code,
                    "count": count,
                    "title": code_title(code, lang),
                    "article": code_article(code, lang),
                }
                for code, count in ranked(counts, names)
            ],
        }
        for kind, names in kinds.items()
    ]
    return [group for group in groups if group["reasons"]]


def _counted(requests: Sequence[Document], key: str, value: str) -> int:
    return sum(one.get(key) == value for one in requests)


def _delivered(requests: Sequence[Document]) -> int:
    """Return the rows that left the firm; what is only approved has not."""
    return sum(int(one["rows"]) for one in requests if one["state"] == "delivered")
