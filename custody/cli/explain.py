"""``custody explain``: a code, or all that became of one thing, by the record of its day."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.manner import manner
from custody.cli.output import show
from custody.cli.pages import write_page
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody

Document = dict[str, object]
_REFERENCES: Final = "req_…, grant_…, plan_…, cert_…, batch_…, or batch_…:ROW for a refused row."


def explain(
    what: Annotated[str, typer.Argument(metavar="CODE|REF", help=f"A code, or {_REFERENCES}")],
    *,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write it as a page of its own.")
    ] = None,
) -> None:
    """Tell all about a code, a request, grant, plan, certificate, batch or refused row.

    Of a thing: the decision with every reason, the people, and every entry of the ledger about it,
    with the run that wrote it and the policy it was done under; of what was checked, the verdicts.
    Prefect is not asked.
    """
    from custody.codes import find_code
    from custody.messages import explain_code

    known = find_code(what)
    if known is not None:
        show(asdict(explain_code(what, manner().lang)))
        return
    prefix, underscore, _ = what.partition("_")
    if not underscore or prefix not in _EXPLAINED:
        raise UsageError("neither a code nor a reference custody can explain", what)
    from custody.cli.session import opened

    with opened(to_look=True) as custody:
        document, named = _EXPLAINED[prefix](custody, what)
        document |= _quality(custody, named) | _record(custody, named)
    if html is not None:
        write_page(html, what, document)
    show(document)


def _request(custody: "Custody", shown: str) -> tuple[Document, dict[str, str]]:
    from custody.cli.asking import request_document

    return request_document(custody, shown), {"request": shown}


def _grant(custody: "Custody", shown: str) -> tuple[Document, dict[str, str]]:
    """Return a grant with the request that it came of."""
    from custody.acts.use import list_grants
    from custody.cli.asking import request_document
    from custody.identifiers import GRANT, REQUEST, STAFF, read_id, show_id

    wanted = read_id(GRANT, shown)
    found = next((one for one in list_grants(custody) if one.id == wanted), None)
    if found is None:
        raise UsageError("no such grant", shown)
    request = show_id(REQUEST, found.request_id)
    document: Document = {
        "grant": shown,
        "request": request,
        "staff": show_id(STAFF, found.staff_id),
        "dataset": found.dataset,
        "purpose": found.purpose,
        "fields": dict(found.fields),
        "granted_at": found.granted_at,
        "until": found.until,
        "revoked_at": found.revoked_at or "",
    }
    decided = request_document(custody, request)
    document |= {name: decided[name] for name in ("reasons", "votes") if name in decided}
    return document, {"grant": shown, "request": request}


def _plan(custody: "Custody", shown: str) -> tuple[Document, dict[str, str]]:
    from custody.cli.destroy import plan_document

    return plan_document(custody, shown), {"plan": shown}


def _certificate(custody: "Custody", shown: str) -> tuple[Document, dict[str, str]]:
    from custody.cli.certificate import certificate_document

    document = certificate_document(custody, shown)
    return document, {"certificate": str(document["certificate"]), "plan": str(document["plan"])}


def _batch(custody: "Custody", shown: str) -> tuple[Document, dict[str, str]]:
    from custody.cli.batches import batch_document

    batch, colon, row = shown.partition(":")
    if colon:
        return _row(custody, batch, row), {"batch": batch}
    return batch_document(custody, batch), {"batch": batch}


def _row(custody: "Custody", batch: str, row: str) -> Document:
    """Return why a row of a batch is in quarantine; its values are not shown."""
    from custody.acts.quarantine import list_quarantine
    from custody.cli.faults import describe_reason
    from custody.errors import Reason
    from custody.identifiers import BATCH, read_id

    held = list_quarantine(custody, read_id(BATCH, batch))
    found = next((one for one in held if str(one.row_number) == row), None)
    if found is None:
        raise UsageError("no such row is held in quarantine", f"{batch}:{row}")
    reasons = [describe_reason(Reason(code=code)) for code in sorted(found.codes)]
    return {"batch": batch, "row": found.row_number, "stage": found.stage, "reasons": reasons}


def _quality(custody: "Custody", named: dict[str, str]) -> Document:
    """Return what came of the quality checks of it; nothing where there were none."""
    from custody.acts.quality import quality_results
    from custody.cli.quality import result_line

    found = [one for name in named.values() for one in quality_results(custody, name)]
    return {"quality": [result_line(custody, one) for one in found]} if found else {}


def _record(custody: "Custody", named: dict[str, str]) -> Document:
    """Return what the ledger says about it, by whom, in which runs."""
    from custody.acts.explaining import told_of

    told = told_of(custody, named)
    return {
        "ledger": [
            {
                "place": "" if one.place is None else one.place,
                "at": one.at.astimezone(custody.zone).isoformat(timespec="seconds"),
                "event": one.event,
                "how": one.how,
                "actor": one.actor,
                "run": one.run,
                "policy": one.policy,
            }
            for one in told.lines
        ],
        "runs": [
            {
                "run": one.run_id,
                "flow": one.flow,
                "state": one.state,
                "how": one.how,
                "code": one.facts.get("code", ""),
            }
            for one in told.runs
        ],
    }


_EXPLAINED: Final[Mapping[str, Callable[["Custody", str], tuple[Document, dict[str, str]]]]] = {
    "req": _request,
    "grant": _grant,
    "plan": _plan,
    "cert": _certificate,
    "batch": _batch,
}
