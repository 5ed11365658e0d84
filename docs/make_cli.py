"""Write docs/cli.md from the commands themselves; run it after changing one.

python docs/make_cli.py
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import typer

from custody.cli.main import app

# Commands and parameters of the click that typer carries and does not export.
Command: TypeAlias = Any
Parameter: TypeAlias = Any
PAGE = Path(__file__).with_name("cli.md")
MADE_BY = "<!-- Made by docs/make_cli.py from custody/cli; edit those. -->"
PREFACE = """\
# The command line

Every command also takes, anywhere on the line:

| option | |
|---|---|
| `--json` | one JSON document on stdout and nothing else, also for errors: \
`{"error": {"code", "message", "why", "reasons", "next"}}` |
| `--quiet`, `-q` | only the result's identifier on stdout, no progress on stderr |
| `--lang zh`, `--lang en` | the language of messages; by default `CUSTODY_LOCALE` |
| `--debug` | tracebacks, which may hold a customer's data: for synthetic installations |
| `--help`, `-h` | what the command does and takes |

Exit codes: 0 done · 1 fault · 2 wrong usage · 3 refused by a rule, with every reason · 4 waiting
for approval · 5 failed the quality gate · 130 interrupted.

Results go to stdout, progress and errors to stderr. A command that lists says so when there is
nothing; one that was to work on what it was told and found nothing of it is refused with
`nothing_to_do`. Where nothing is due, or no key waits for a turn, it says so; that is no failure.

People's own variables, beside those of [settings.md](settings.md):

| variable | |
|---|---|
| `CUSTODY_PERSON_KEY_FILE` | your key file (`--key`) |
| `CUSTODY_PERSON_PASSPHRASE_FILE` | a file whose first line is its passphrase; else you are asked |
| `CUSTODY_OFFICER_PASSPHRASE_FILE` | the same for the officer who signs an enrolment |
| `CUSTODY_SESSION_FILE` | the file of your session (`--session`) |
"""


def commands() -> Iterator[tuple[str, Command]]:
    """Yield every command by the words that call it; groups come before what they hold."""
    yield from _below("custody", typer.main.get_command(app))


def page() -> str:
    """Return the whole page."""
    parts = [_section(name, command) for name, command in commands() if name != "custody"]
    return "\n".join([MADE_BY, PREFACE, *parts])


def _below(name: str, command: Command) -> Iterator[tuple[str, Command]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {child}", below)


def _section(name: str, command: Command) -> str:
    if getattr(command, "commands", None):
        return f"## `{name}`\n\n{_prose(command.help)}\n"
    level = "##" if name.count(" ") == 1 else "###"
    lines = [f"{level} `{name}`", "", _prose(command.help), ""]
    lines += ["```", " ".join([name, *_pieces(command)]), "```", ""]
    rows = [_row(one) for one in command.params if _told(one)]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _pieces(command: Command) -> Iterator[str]:
    if any(not _is_argument(one) for one in command.params):
        yield "[OPTIONS]"
    for one in command.params:
        if _is_argument(one):
            yield _called(one) if one.required else f"[{_called(one)}]"


def _row(parameter: Parameter) -> str:
    names = parameter.opts if not _is_argument(parameter) else [_called(parameter)]
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    must = " **Required.**" if parameter.required and not _is_argument(parameter) else ""
    shown = ", ".join(f"`{name}`" for name in names)
    about = f"{parameter.help}{variable}{must}"
    return "| {} | {} |".format(*(one.replace("|", "\\|") for one in (shown, about)))


def _called(argument: Parameter) -> str:
    return str(argument.metavar or argument.name.upper())


def _told(parameter: Parameter) -> bool:
    return parameter.name != "help"


def _is_argument(parameter: Parameter) -> bool:
    return bool(parameter.param_type_name == "argument")


def _prose(text: str | None) -> str:
    """Return a docstring as Markdown, without typer's marks."""
    return re.sub(r"[\b\f]", "", text or "").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
