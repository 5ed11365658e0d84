"""Help answers at once, and everything there is stands in docs/cli.md."""

import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Promised is 1 s on an idle machine; a loaded one in CI gets a margin.
SECONDS = 3.0
HEAVY = ("sqlalchemy", "prefect", "pandas", "pydantic", "great_expectations", "psycopg", "rich")


def run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "custody.cli.main", *arguments),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return done, time.monotonic() - began


def writer() -> ModuleType:
    spec = util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "arguments", [("--help",), ("explain", "consent_missing"), ("verify", "--help"), ("-h",)]
)
def test_help_and_explanations_answer_at_once(arguments: tuple[str, ...]) -> None:
    done, seconds = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert seconds < SECONDS


def test_the_program_imports_nothing_heavy_before_a_command_needs_it() -> None:
    asked = f"import sys, custody.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run((sys.executable, "-c", asked), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    made = writer()
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run python docs/make_cli.py"


def test_every_command_and_option_is_documented() -> None:
    made = writer()
    page = made.PAGE.read_text(encoding="utf-8")
    names = [name for name, _ in made.commands() if name != "custody"]
    options = [
        option
        for _, command in made.commands()
        for one in command.params
        for option in one.opts
        if option.startswith("-")
    ]
    missing = [one for one in (*names, *options) if f"`{one}`" not in page]
    assert not missing
    assert len(names) > 40
