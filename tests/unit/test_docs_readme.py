"""The README's table of controls names only what is there, and both languages say the same."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.figures import KEPT, table, written

ROOT = Path(__file__).parents[2]
LANGUAGES = ("README.md", "README.zh.md")
STAGES = ("收 ingest", "存 store", "用 use", "传 transfer", "销 destroy")
COLUMNS = 5
CODE = re.compile(r"`([^`]+)`")


def controls(name: str) -> list[list[str]]:
    """Return the cells of the rows of the table of controls."""
    text = (ROOT / name).read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if "`tests/" in line]
    return [[cell.strip() for cell in row] for row in rows]


def missing(reference: str) -> bool:
    """Tell whether a path is not there, or a test not in its file."""
    path, _, test = reference.partition("::")
    file = ROOT / path
    if not file.is_file():
        return True
    return bool(test) and f"def {test}(" not in file.read_text(encoding="utf-8")


def unknown_events(cell: str) -> list[str]:
    page = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    events = [one for one in CODE.findall(cell) if re.fullmatch(r"[a-z_]+(:[a-z_]+){1,2}", one)]
    return [event for event in events if f"| `{event}` |" not in page]


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_row_has_all_its_cells(name: str) -> None:
    rows = controls(name)
    assert {len(row) for row in rows} == {COLUMNS}
    assert all(all(row) for row in rows)


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_stage_has_controls(name: str) -> None:
    named = {row[0] for row in controls(name)}
    assert set(STAGES) <= named


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_place_and_test_of_the_table_exists(name: str) -> None:
    rows = controls(name)
    places = [one for row in rows for cell in (row[2], row[4]) for one in CODE.findall(cell)]
    assert len(places) >= 2 * len(rows)
    assert [one for one in places if missing(one)] == []


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_event_given_as_evidence_is_one_of_the_ledger(name: str) -> None:
    assert [event for row in controls(name) for event in unknown_events(row[3])] == []


def test_what_is_missing_would_be_found() -> None:
    assert missing("custody/nonsense.py")
    assert missing("tests/unit/test_docs_readme.py::test_nonsense")
    assert not missing("tests/unit/test_docs_readme.py::test_every_stage_has_controls")
    assert unknown_events("`chunk:ingest:nonsense`") == ["chunk:ingest:nonsense"]


def test_both_languages_name_the_same_places_and_tests() -> None:
    english, chinese = (
        [[CODE.findall(row[i]) for i in (2, 4)] for row in controls(one)] for one in LANGUAGES
    )
    assert english == chinese


def test_both_languages_show_the_same_two_commands_and_link_each_other() -> None:
    english, chinese = ((ROOT / one).read_text(encoding="utf-8") for one in LANGUAGES)
    commands = (
        "python3 -m pip install -q --target .tools uv && .tools/bin/uv run custody demo\n"
        ".tools/bin/uv run pytest\n"
    )
    assert commands in english
    assert commands in chinese
    assert "(README.zh.md)" in english
    assert "(README.md)" in chinese


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_figures_are_those_of_the_run_that_was_kept(name: str) -> None:
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    text = (ROOT / name).read_text(encoding="utf-8")
    assert written(text, found, name) == text
    assert found["commit"]
    assert not found["commit"].endswith("+")
    assert table({**found, "customers": 1}, name) not in text, "a check that could not fail"


def test_a_readme_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="README"):
        written("nothing", {}, "README.md")
