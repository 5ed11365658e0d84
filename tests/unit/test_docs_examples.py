"""What the documentation shows is so: commands, policy fragments, paths, tests and links."""

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

from custody.cli.main import app
from custody.cli.manner import take_manner
from custody.policy.load import load_policy, parse_policy
from custody.policy.model import Policy

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if page.parent.name != "codes"
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
TOP = "custody|tasks|flows|config|tests|docs|deployments|benchmarks"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATH = re.compile(rf"`((?:{TOP})/[\w./*-]+|\.ci/\w+)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every call of custody in the shell blocks of a page."""
    for language, block in FENCE.findall(text):
        if language != "sh":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "custody" in words[:4]:
                called = words[words.index("custody") + 1 :]
                yield list(takewhile(lambda word: word not in {">", "|", "&&"}, called))


def parse(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Parse a call as the program would, without running it."""
    context = command.make_context(name, list(arguments), parent=parent)
    if hasattr(command, "resolve_command"):
        left = [*getattr(context, "_protected_args", ()), *context.args]
        found, inner, rest = command.resolve_command(context, left)
        parse(inner, str(found), rest, context)


def wrong_commands(text: str) -> list[str]:
    root = typer.main.get_command(app)
    wrong = []
    for words in commands_in(text):
        try:
            _, arguments = take_manner(words, {})
            parse(root, "custody", arguments)
        except Exception as error:  # noqa: BLE001 - typer's own click has no exported errors
            wrong.append(f"custody {' '.join(words)}: {error}")
    return wrong


def missing_paths(text: str) -> list[str]:
    """Return paths that are not there, and tests that are not in their files."""
    return [
        path if not there else f"{path}::{test}"
        for path, test in PATH.findall(text)
        for there in [sorted(ROOT.glob(path.rstrip("/")))]
        if not there or (test and f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8"))
    ]


def dead_links(name: str) -> list[str]:
    folder = (ROOT / name).parent
    return [link for link in LINK.findall(text_of(name)) if not (folder / link).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shown_can_be_called_so(name: str) -> None:
    assert wrong_commands(text_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_path_and_test_named_is_there(name: str) -> None:
    assert missing_paths(text_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert dead_links(name) == []


def test_a_wrong_command_option_path_or_test_is_found() -> None:
    planted = "```sh\ncustody nonsense\ncustody verify --nonsense\ncustody verify --deep\n```\n"
    assert len(wrong_commands(planted)) == 2
    paths = "`custody/nonsense.py` `custody/seal.py` `tests/conftest.py::test_nothing`"
    assert missing_paths(paths) == ["custody/nonsense.py", "tests/conftest.py::test_nothing"]


def fragments(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield document, section and lines of every fragment of policy on a page."""
    for language, block in FENCE.findall(text):
        head = re.match(r"# (\S+\.yaml), under (\w+):\n", block)
        if language == "yaml" and head:
            yield head[1], head[2], block[head.end() :]


@pytest.fixture(scope="module")
def grown() -> Policy:
    """Return the example policy with the fragments of docs/policy.md in it."""
    documents: Mapping[str, str] = load_policy(ROOT / "config" / "policy").documents
    changed = dict(documents)
    for document, section, lines in fragments(text_of("docs/policy.md")):
        before, mark, after = changed[document].partition(f"\n{section}:\n")
        assert mark, (document, section)
        changed[document] = before + mark + lines + after
    return parse_policy(changed)


def test_the_worked_example_of_a_dataset_is_a_sound_policy(grown: Policy) -> None:
    assert grown.dataset("memberships").creates_customer
    assert grown.source("scheme_members").purpose == "loyalty_scheme"
    permitted = grown.recipient("card_printer").fields["memberships"]
    assert permitted <= grown.scope("loyalty_scheme", "memberships").fields
