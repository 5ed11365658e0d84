"""``custody quality``: what the policy asks of data at each stage, and what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.pages import write_page
from custody.cli.session import opened
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.acts.quality import Result

Document = dict[str, object]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write it as a page of its own.")
]

app = Group("quality", "Look at quality checks: the suites of today's policy, and their results.")


@app.offers("suites")
def suites(
    dataset: Annotated[str, typer.Option(help="Only what is asked of this dataset.")] = "",
    stage: Annotated[
        str, typer.Option(help="Only of this stage: ingest, store, transfer, destroy.")
    ] = "",
    *,
    html: Html = None,
) -> None:
    """List every check of today's policy with severity, owner and what is let pass.

    Suites of ingest are made of the catalogue and of the documents under the policy's quality/.
    """
    from custody.acts.quality import suites_today
    from custody.policy.model import STAGES

    if stage and stage not in STAGES:
        raise UsageError("no such stage", stage)
    with opened(to_look=True) as custody:
        if dataset:
            custody.policy.dataset(dataset)
        wanted = [
            one
            for one in suites_today(custody)
            if stage in {"", one.suite.stage} and dataset in {"", one.suite.dataset}
        ]
        document: Document = {
            "policy": custody.policy.digest,
            "suites": [
                {
                    "stage": one.suite.stage,
                    "dataset": one.suite.dataset,
                    "purpose": one.purpose,
                    "checks": len(one.suite.checks),
                    "digest": one.suite.digest,
                }
                for one in wanted
            ],
            "checks": [
                {
                    "stage": one.suite.stage,
                    "dataset": one.suite.dataset,
                    "purpose": one.purpose,
                    "check": check.name,
                    "code": check.code,
                    "severity": check.severity,
                    "owner": check.owner,
                    "tolerated_permille": check.tolerated_permille,
                }
                for one in wanted
                for check in one.suite.checks
            ],
        }
    _shown(document, "suites", html)


@app.offers("results")
def results(
    about: Annotated[
        str,
        typer.Argument(metavar="[REF]", help="A batch, request or plan: batch_…, req_…, plan_…."),
    ] = "",
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    newest: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
    html: Html = None,
) -> None:
    """List the results that the ledger has, or all checks of those about one thing.

    They are codes, counts and digests; no value of anybody is in them.
    """
    from custody.acts.quality import quality_results

    with opened(to_look=True) as custody:
        found = quality_results(custody, about)
        if about and not found:
            raise UsageError("the ledger has no quality result about this", about)
        wanted = [one for one in found if not failed or one.verdict == "failed"]
        document: Document = {
            "known": len(found),
            "results": [result_line(custody, one) for one in wanted[-newest:]],
        }
        if about:
            document["checks"] = [row for one in wanted[-newest:] for row in _checks(one)]
    _shown(document, about or "results", html)


def result_line(custody: "Custody", one: "Result") -> Document:
    """Return a result as one line of a table."""
    return {
        "at": one.at.astimezone(custody.zone).isoformat(timespec="seconds"),
        "stage": one.stage,
        "about": one.about,
        "verdict": one.verdict,
        "checks": len(one.judged),
        "failed": sum(judged.verdict == "failed" for judged in one.judged),
        "suite": one.suite,
        "digest": one.digest,
        "run": one.run,
    }


def _checks(one: "Result") -> list[Document]:
    return [
        {
            "stage": one.stage,
            "check": judged.check.name,
            "code": judged.check.code,
            "severity": judged.check.severity,
            "owner": judged.check.owner,
            "tolerated_permille": judged.check.tolerated_permille,
            "checked": judged.checked,
            "failed": judged.failed,
            "verdict": judged.verdict,
        }
        for judged in one.judged
    ]


def _shown(document: Document, title: str, html: Path | None) -> None:
    if html is not None:
        write_page(html, f"custody quality {title}", document)
    show(document)
