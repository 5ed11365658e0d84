"""Who may import whom, and that nothing escapes the contracts."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Asked of a fresh interpreter: what do these tests import, by themselves and through the core?
COLLECT = """
import sys, pytest
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", sys.argv[1]])
found = [name for name in ("prefect", "great_expectations") if name in sys.modules]
sys.exit(f"pytest: {code}, imported: {found}" if code or found else 0)
"""


def contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def run_contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_are_kept() -> None:
    outcome = run_contracts(ROOT)
    assert outcome.returncode == 0, outcome.stdout


def test_every_module_of_the_core_stands_in_a_layer() -> None:
    layers = next(c["layers"] for c in contracts() if c["id"] == "layers")
    placed = {part.strip(" ()") for layer in layers for part in layer.split(":")}
    there = {
        f"custody.{entry.stem}"
        for entry in (ROOT / "custody").iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").exists()
    }
    assert there - {"custody.__init__"} <= placed


def collect(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COLLECT, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_unit_tests_import_neither_prefect_nor_great_expectations() -> None:
    outcome = collect(ROOT / "tests" / "unit")
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr


@pytest.mark.parametrize("name", ["prefect"])
def test_a_unit_test_that_imports_it_would_be_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(
        f"import {name}\n\n\ndef test_nothing() -> None:\n    assert {name}\n", encoding="utf-8"
    )
    assert f"imported: ['{name}']" in collect(tmp_path).stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("flows/planted.py", "import sqlalchemy", "flows state the order"),
        ("custody/planted.py", "import prefect", "know Prefect"),
        ("custody/planted.py", "import custody.layered.inner", "never back"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    module: str, line: str, contract: str, tmp_path: Path
) -> None:
    """The same contracts over a tiny house of the same shape."""
    for package in ("custody", "custody/layered", "config", "tasks", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "custody" / "layered" / "inner.py").write_text("import custody.planted\n")
    (tmp_path / "custody" / "planted.py").touch()
    (tmp_path / module).write_text(f"{line}\n")
    (tmp_path / ".importlinter").write_text(PLANTED_CONTRACTS, encoding="utf-8")
    outcome = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    broken = [one for one in outcome.stdout.splitlines() if one.endswith("BROKEN")]
    assert len(broken) == 1
    assert contract in broken[0]


PLANTED_CONTRACTS = """\
[importlinter]
root_packages =
    custody
    config
    tasks
    flows
include_external_packages = True

[importlinter:contract:layers]
name = never back
type = layers
layers =
    flows
    tasks
    config
    custody.layered
    custody.planted

[importlinter:contract:flows]
name = flows state the order
type = forbidden
source_modules = flows
forbidden_modules = sqlalchemy
allow_indirect_imports = True

[importlinter:contract:prefect]
name = know Prefect
type = forbidden
source_modules =
    config
    custody.*
forbidden_modules = prefect
allow_indirect_imports = True
"""
