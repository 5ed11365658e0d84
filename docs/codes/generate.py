"""Write one page per reason code from the message catalogues; run it after changing either.

python docs/codes/generate.py
"""

import sys
from pathlib import Path

from custody.codes import CODES, KINDS, codes_of
from custody.messages import explain_code, message

FOLDER = Path(__file__).parent
SEVERITIES = {
    "blocking": "refuses · 拒绝",
    "warning": "warns · 提示",
    "report": "cannot tell · 无法判断",
}
MEANINGS = {
    "quality": "the row is not fit to be kept",
    "basis": "the law does not permit keeping the row",
    "identity": "it is unclear whose record it is",
    "decision": "a use, transfer, enrolment or destruction is refused",
    "fault": "custody could not work, or was called wrongly",
    "warning": "told, and not refused",
}
MADE_BY = "<!-- Made by docs/codes/generate.py from custody/messages; edit those. -->"


def pages() -> dict[str, str]:
    """Return every page by file name."""
    return {"README.md": _index(), **{f"{code}.md": _page(code) for code in CODES}}


def out_of_date() -> list[str]:
    """Return the names of pages that are missing, superfluous or differ from the catalogues."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    return sorted(name for name in wanted | there if wanted.get(name) != there.get(name))


def _page(code: str) -> str:
    en, zh = explain_code(code, "en"), explain_code(code, "zh")
    return "\n".join(
        (
            MADE_BY,
            "",
            f"# `{code}`",
            "",
            f"**{en.title}** · **{zh.title}**",
            "",
            "| | |",
            "|---|---|",
            f"| kind | {en.kind} |",
            f"| effect | {SEVERITIES[en.severity]} |",
            f"| rule | {en.rule} (evidence {en.evidence}) |",
            f"| article | {en.article} · {zh.article} |",
            "",
            f"**Why.** {en.why} **Next.** {en.next}",
            "",
            f"**原因** {zh.why} **下一步** {zh.next}",
            "",
        )
    )


def _index() -> str:
    lines = [MADE_BY, "", "# Reason codes", ""]
    lines += ["`custody explain CODE` tells the same.", "", "| kind | means |", "|---|---|"]
    lines += [f"| {kind} | {MEANINGS[kind]} |" for kind in KINDS]
    for kind in KINDS:
        lines += ["", f"## {kind}", ""]
        lines += [
            f"- [`{code}`]({code}.md) {message(code, 'en').title} · {message(code, 'zh').title}"
            for code in sorted(codes_of(kind))
        ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Write the pages and remove those of codes that are gone."""
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
