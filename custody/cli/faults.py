"""From an error to an exit code and to words: what, why, under which rule, and what to do next.

Nothing an unforeseen error says is shown: its text may hold a customer's data. Its type and the
place it came from are, and its traceback with ``--debug``.
"""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from custody.cli.manner import manner
from custody.cli.output import text, to_json
from custody.codes import find_code
from custody.errors import (
    EXIT_FAULT,
    EXIT_USAGE,
    AwaitingApprovalError,
    CustodyError,
    Reason,
    UsageError,
)
from custody.messages import ORIGINAL, article_text, detail_text, message
from custody.policy.model import UnknownNameError
from custody.policy.problems import PolicyInvalidError, Problem

EXIT_INTERRUPTED: Final = 130
# Typer carries a click of its own; this names its base class without reaching inside.
CommandLineError: Final = typer.BadParameter.__mro__[1]

Document = dict[str, object]


def report(error: BaseException) -> int:
    """Print an error the way the command speaks, and return the exit code."""
    if manner().debug:
        traceback.print_exception(error)
    document = describe(error)
    if manner().json:
        print(to_json({"error": document}))
    else:
        print("\n".join(_lines(document)), file=sys.stderr)
    return exit_code(error)


def exit_code(error: BaseException) -> int:
    """Return the exit code that tells scripts what happened."""
    if isinstance(error, CustodyError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return EXIT_INTERRUPTED
    return EXIT_USAGE if isinstance(error, CommandLineError) else EXIT_FAULT


def describe(error: BaseException) -> Document:
    """Return what there is to say about an error."""
    if isinstance(error, PolicyInvalidError):
        return _with_problems(error)
    if isinstance(error, CustodyError):
        return _coded(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return {"code": "interrupted", "message": text("interrupted"), "reasons": [], "next": ""}
    if isinstance(error, CommandLineError):
        return _document("usage", _said(error))
    return _document("fault", f"{type(error).__name__} {_place(error)}".strip())


def _said(error: BaseException) -> str:
    """Return what is wrong with a command line, with the option it concerns; no help text."""
    if isinstance(error, typer.BadParameter):
        return error.format_message()
    return str(error).partition("\n")[0].strip()


def _coded(error: CustodyError) -> Document:
    subject = str(getattr(error, "subject", ""))
    reasons: tuple[Reason, ...] = getattr(error, "reasons", ())
    document = _document(error.code, subject if reasons else _detail(error))
    if subject:
        document["subject"] = subject
    document["reasons"] = [describe_reason(reason) for reason in reasons]
    if isinstance(error, AwaitingApprovalError):
        document["next"] = f"custody approve {subject}"
    return document


def _detail(error: CustodyError) -> str:
    lang = manner().lang
    if lang == ORIGINAL or not isinstance(error, UsageError):
        return str(error)
    if isinstance(error, UnknownNameError):
        return detail_text(str(error), lang)
    what = detail_text(error.what, lang)
    return f"{what}{text('colon')}{error.about}" if error.about else what


def describe_reason(reason: Reason) -> Document:
    """Return all there is to say about one reason of a decision."""
    said = message(reason.code, manner().lang)
    known = find_code(reason.code)
    return {
        "code": reason.code,
        "about": reason.about,
        "count": reason.count,
        "title": said.title,
        "why": said.why,
        "rule": known.rule if known else "",
        "article": article_text(known.article, manner().lang) if known else "",
        "next": said.next,
    }


def _document(code: str, detail: str) -> Document:
    name = code if find_code(code) else UsageError.code
    said = message(name, manner().lang)
    told = f"{said.title}{text('colon')}{detail}" if detail else said.title
    return {"code": code, "message": told, "why": said.why, "reasons": [], "next": said.next}


def _with_problems(error: PolicyInvalidError) -> Document:
    document = _document(error.code, error.about)
    document["reasons"] = [
        {
            "code": one.code,
            "about": f"{one.file}:{one.line}:{one.column}",
            "count": 1,
            "title": _problem_title(one),
            "next": message(one.code, manner().lang).next,
        }
        for one in error.problems
    ]
    return document


def _problem_title(problem: Problem) -> str:
    """Return what is wrong with a document; it quotes the document, so it stays as it was said."""
    lang = manner().lang
    if lang == ORIGINAL:
        return problem.message
    return f"{message(problem.code, lang).title}{text('colon')}{problem.message}"


def _lines(document: Document) -> Iterator[str]:
    yield f"custody: {document['message']}"
    reasons = document["reasons"]
    for reason in reasons if isinstance(reasons, list) else []:
        yield from _reason_lines(reason)
    if not reasons:
        yield from _indented("", document)


def _reason_lines(reason: Document) -> Iterator[str]:
    about = f" ({reason['about']})" if reason["about"] else ""
    times = f" × {reason['count']}" if reason["count"] != 1 else ""
    yield f"  • {reason['code']}{about}{times}{text('colon')}{reason['title']}"
    yield from _indented("    ", reason)


def _indented(margin: str, said: Document) -> Iterator[str]:
    rule = " · ".join(str(said[one]) for one in ("rule", "article") if said.get(one))
    why = f"{said.get('why', '')} {f'[{rule}]' if rule else ''}".strip()
    if why:
        yield f"{margin}  {text('why')}{text('colon')}{why}"
    if said.get("next"):
        yield f"{margin}  {text('next_step')}{text('colon')}{said['next']}"


def _place(error: BaseException) -> str:
    """Return the last place of ours, or else the last place, in an error's traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    ours = [one for one in frames if "custody" in Path(one.filename).parts]
    frame = (ours or frames)[-1]
    return f"({Path(frame.filename).name}:{frame.lineno})"
