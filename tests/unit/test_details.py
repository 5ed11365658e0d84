"""What errors of use say in detail: complete in Chinese, and nothing that nobody says."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.cli.faults import describe
from custody.cli.manner import Manner, manner, speak
from custody.errors import CustodyError, UsageError
from custody.messages import detail_text
from custody.policy.model import UnknownNameError

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "custody" / "messages" / "details.zh.toml"
UNKNOWN = "the policy has no {} called {}"
# Where the wording is another error's, or the whole is worded by the class itself.
PASSED_ON = {"error.what", "kind", "tuple(sorted(set(problems)))", "tuple(undecodable)"}


def modules() -> Iterator[ast.Module]:
    for package in ("custody", "config", "tasks", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def errors_of_use(trees: list[ast.Module]) -> set[str]:
    """Return the names of UsageError and of every class that inherits from it."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {"UsageError"}
    while True:
        more = {one.name for one in classes if names & {ast.unparse(base) for base in one.bases}}
        if more <= names:
            return names
        names |= more


def wording(argument: ast.expr) -> str:
    if isinstance(argument, ast.JoinedStr):
        parts = argument.values
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)
    return str(argument.value) if isinstance(argument, ast.Constant) else ast.unparse(argument)


def said() -> set[str]:
    trees = list(modules())
    names = errors_of_use(trees)
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {wording(one.args[0]) for one in calls if ast.unparse(one.func) in names and one.args}


def translations() -> dict[str, str]:
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def test_every_wording_has_a_translation_and_every_translation_a_wording() -> None:
    assert (said() - PASSED_ON) | {UNKNOWN} == translations().keys()
    assert len(said()) > 90


@pytest.mark.parametrize(("english", "chinese"), translations().items())
def test_a_translation_is_chinese_and_takes_the_same_names(english: str, chinese: str) -> None:
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert english.count("{}") == chinese.count("{}")


def test_names_are_filled_in() -> None:
    assert (
        detail_text("declared utf-8, but byte 17 is not", "zh") == "声明为 utf-8，但第 17 字节不符"
    )
    assert detail_text("no such batch", "zh") == "没有此批次"
    assert detail_text("no such batch", "en") == "no such batch"
    assert detail_text("worded by nobody", "zh") == "worded by nobody"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UsageError("no such batch", "batch_1"), "没有此批次：batch_1"),
        (UsageError("settings are wrong"), "设置有误"),
        (UnknownNameError("dataset", "people"), "制度中没有这一项 dataset：people"),
    ],
)
def test_a_chinese_error_says_its_detail_in_chinese(error: CustodyError, told: str) -> None:
    before = manner()
    speak(Manner(lang="zh"))
    try:
        message = str(describe(error)["message"])
    finally:
        speak(before)
    assert message.endswith(told)
