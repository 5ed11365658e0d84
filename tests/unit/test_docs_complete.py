"""What there is, is documented: flows, commands, codes, variables, events, threats, decisions.

Pages with a test of their own (codes, settings, the ledger, the data model) are only looked for
here as a whole; see the tests of those pages.
"""

import ast
import re
from pathlib import Path

import pytest
import typer

from custody.cli.main import app
from custody.codes import CODES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
THREATS = 32
# `custody ingest run` is what `custody ingest` is short for; lists and shows explain themselves.
UNSHOWN = frozenset({"run", "list", "show"})


def prose() -> str:
    """Return the pages people read to learn: not the references that are made from the code."""
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), *(DOCS / "roles").glob("*.md")]
    made = {DOCS / "cli.md"}
    return "\n".join(page.read_text(encoding="utf-8") for page in pages if page not in made)


def flows() -> set[str]:
    """Return the name of every flow: what is decorated as a stage below flows/."""
    return {
        str(decorator.args[0].value)
        for path in (ROOT / "flows").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.args[0], ast.Constant)
    }


def test_every_flow_is_on_the_page_of_the_architecture() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    stages = {"ingest", "store", "use", "transfer", "destroy"}
    assert flows() == stages | {"turn", "close-period", "rekey", "retag", "reconcile"}
    files = {name.replace("-", "_") for name in flows()}
    assert [name for name in files if f"`flows/{name}.py`" not in page] == []


def test_every_command_is_shown_in_use_somewhere() -> None:
    text = prose()
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) > 20
    assert [name for name in commands if f"custody {name}" not in text] == []


def test_every_subcommand_is_shown_in_use_somewhere() -> None:
    text = prose()
    unshown = [
        f"custody {group} {name}"
        for group, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
        for name in getattr(command, "commands", {})
        if f"custody {group} {name}" not in text and name not in UNSHOWN
    ]
    assert unshown == []


def test_every_code_has_its_page() -> None:
    assert {path.stem for path in (DOCS / "codes").glob("*.md")} - {"README"} == set(CODES)


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [*DOCS.glob("*.md"), *(DOCS / "roles").glob("*.md"), *(DOCS / "adr").glob("*.md")]
    shown = [page.relative_to(DOCS).as_posix() for page in pages if page.name != "index.md"]
    assert [page for page in shown if f"({page})" not in index] == []


def test_every_threat_has_its_row() -> None:
    page = (DOCS / "threat-controls.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (T\d+) \|", page, flags=re.MULTILINE)
    assert rows == [f"T{number}" for number in range(1, THREATS + 1)]


@pytest.mark.parametrize("page", sorted((DOCS / "adr").glob("*.md")), ids=lambda page: page.stem)
def test_every_decision_says_what_it_costs(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "Context" in headings
    assert {"Outcome", "Decision"} & set(headings)
    assert any("onsequences" in heading for heading in headings)


@pytest.mark.parametrize("page", sorted((DOCS / "roles").glob("*.md")), ids=lambda page: page.stem)
def test_every_role_has_a_chinese_summary_at_the_top(page: Path) -> None:
    assert page.read_text(encoding="utf-8").splitlines()[2].startswith("**中文摘要。**")
