"""The shape of the code (style: short functions, short modules, nothing ambient in the core)."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("custody", "flows", "tasks", "config")
CORE = ("custody",)
# The command line and `config` are where the environment and the clock are read.
MAY_READ_ENVIRONMENT = "custody/cli/"
LONGEST_MODULE = 300
LONGEST_FUNCTION = 50
NINE_OF_TEN = 25
MEDIAN = 8
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: Function) -> int:
    """Return the lines of the function without its docstring, its decorators and its first line."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 1


def lengths() -> dict[str, int]:
    return {
        f"{path.relative_to(ROOT)}:{one.lineno} {one.name}": length(one)
        for path in modules(*PACKAGES)
        for one in functions(path)
    }


def test_functions_are_short() -> None:
    measured = sorted(lengths().values())
    assert median(measured) <= MEDIAN
    assert measured[int(len(measured) * 0.9)] <= NINE_OF_TEN


def test_no_function_is_long() -> None:
    assert {name: n for name, n in lengths().items() if n > LONGEST_FUNCTION} == {}


def test_a_long_module_says_why() -> None:
    long = {}
    for path in modules(*PACKAGES):
        text = path.read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(text)) or ""
        if len(text.splitlines()) > LONGEST_MODULE and "long" not in said.casefold():
            long[str(path.relative_to(ROOT))] = len(text.splitlines())
    assert long == {}


def is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )


def raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None


def ambient(tree: ast.AST) -> list[str]:
    """Return what the code takes from its surroundings instead of from its arguments."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="now" | "utcnow" | "today", value=ast.Name(id=name)) if (
                name in {"datetime", "date"}
            ):
                found.append(f"{node.lineno}: {name}.{node.attr}")
            case ast.Attribute(attr="environ" | "getenv", value=ast.Name(id="os")):
                found.append(f"{node.lineno}: os.{node.attr}")
            case ast.ExceptHandler() if is_broad(node) and not raises_again(node):
                found.append(f"{node.lineno}: broad except")
    return found


def test_the_core_takes_time_and_settings_as_arguments() -> None:
    found = {}
    for path in modules(*CORE):
        name = str(path.relative_to(ROOT))
        taken = ambient(ast.parse(path.read_text(encoding="utf-8")))
        if taken and not name.startswith(MAY_READ_ENVIRONMENT):
            found[name] = taken
    assert found == {}


@pytest.mark.parametrize(
    "code",
    ["datetime.now(UTC)", "os.environ['X']", "try:\n  f()\nexcept Exception:\n  pass"],
)
def test_taking_from_the_surroundings_would_be_found(code: str) -> None:
    assert len(ambient(ast.parse(code))) == 1
