"""What a run leaves for the UI: tables of counts and codes, from an allow-list of names.

Artifacts lie in Prefect's database in clear, so only counts of receipts and identifiers go in.
"""

from collections.abc import Mapping
from typing import Final

from prefect.artifacts import create_markdown_artifact

from custody.acts.history import record_artifact
from custody.messages import message
from tasks.context import actor, custody

_COUNTS: Final = (
    "read",
    "accepted",
    "refused",
    "unchanged",
    "stored",
    "replaced",
    "destroyed",
    "held",
    "no_longer_due",
    "rows",
    "votes",
    "needed",
    "buckets",
    "keys",
    "records",
    "renewed",
    "seals",
    "amiss",
    "lost",
    "adopted",
    "again",
    "announced",
    "left",
)


def publish(
    stage: str,
    subject: str,
    counts: Mapping[str, int],
    reasons: Mapping[str, int],
    *,
    note: str = "",
) -> None:
    """Leave a run's counts and reasons as a page of the UI.

    Args:
        stage: The stage, which names the artifact's series.
        subject: The identifier the run was about.
        counts: Counts by name; names that are not on the list are left out.
        reasons: Counts by code.
        note: One sentence about what happens next.
    """
    shown = [(name, counts[name]) for name in _COUNTS if name in counts]
    lines = [f"# {stage} `{subject}`", "", "| count 计数 | rows 行数 |", "|---|---:|"]
    lines += [f"| {name} | {number:,} |" for name, number in shown]
    if reasons:
        lines += ["", "| code 代码 | reason 原因 | rows 行数 |", "|---|---|---:|"]
        lines += [_reason_line(code, number) for code, number in sorted(reasons.items())]
    if note:
        lines += ["", note]
    page = "\n".join(lines)
    create_markdown_artifact(page, key=stage, description=f"{stage} {subject}")
    record_artifact(custody(), actor(), stage, page)


def _reason_line(code: str, number: int) -> str:
    titles = " · ".join(message(code, lang).title for lang in ("zh", "en"))
    return f"| `{code}` | {titles} | {number:,} |"
