"""Codes: complete in both languages, documented, and never stricter than their evidence."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from custody.codes import CODES, Code, codes_of, find_code, require_code
from custody.errors import UsageError
from custody.messages import LANGUAGES, article_text, explain_code, message, ui_text

ROOT = Path(__file__).parents[2]
CATALOGUES = ROOT / "custody" / "messages"


def catalogue(lang: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((CATALOGUES / f"{lang}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_code_has_a_message_and_every_message_a_code(lang: str) -> None:
    assert set(catalogue(lang)["codes"]) == set(CODES)


@pytest.mark.parametrize("table", ["codes", "articles", "ui"])
def test_both_languages_have_the_same_keys(table: str) -> None:
    assert catalogue("zh")[table].keys() == catalogue("en")[table].keys()


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_a_message_says_what_why_and_what_next(code: str, lang: str) -> None:
    said = message(code, lang)
    assert all((said.title, said.why, said.next))
    assert explain_code(code, lang).article


@pytest.mark.parametrize("code", CODES)
def test_the_chinese_message_is_chinese_and_the_english_one_is_not(code: str) -> None:
    assert any("\u4e00" <= letter <= "\u9fff" for letter in message(code, "zh").title)
    assert message(code, "en").title.isascii()


@pytest.mark.parametrize("evidence", ["L", "M"])
def test_a_code_nobody_has_read_the_rule_of_cannot_block(evidence: str) -> None:
    with pytest.raises(ValueError, match="guess"):
        Code(
            name="guess",
            rule="X5",
            article="PIPL 1",
            evidence=evidence,  # type: ignore[arg-type]
            kind="decision",
            severity="blocking",
        )


def test_each_code_is_of_one_kind_and_listed_once() -> None:
    text = (ROOT / "custody" / "codes.py").read_text(encoding="utf-8")
    listed = [
        name
        for line in text.split('_TABLE: Final = """')[1].split('"""')[0].strip().splitlines()
        for name in line.split()[3:]
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(CODES)


def test_what_cannot_be_told_neither_blocks_nor_passes() -> None:
    silent = {"assessment_not_captured", "training_not_captured", "policy_approval_not_captured"}
    assert {code.name for code in CODES.values() if code.severity == "report"} == silent
    assert silent <= codes_of("warning")


def test_an_explanation_names_rule_and_article_in_the_language_asked_for() -> None:
    said = explain_code("consent_bundled", "zh")
    assert (said.rule, said.kind, said.evidence) == ("H1.3a", "basis", "H")
    assert said.article == "《客户信息保密管理办法》1.3"
    assert explain_code("consent_withdrawn", "en").article.endswith("Law, art. 15")


def test_an_unknown_code_language_text_or_law_is_a_usage_error() -> None:
    assert find_code("nonsense") is None
    with pytest.raises(UsageError):
        require_code("nonsense")
    with pytest.raises(UsageError):
        message("held", "fr")
    with pytest.raises(UsageError):
        ui_text("nonsense", "en")
    with pytest.raises(UsageError):
        article_text("NOLAW 1", "en")


def test_texts_of_the_interface_come_from_the_catalogue() -> None:
    assert ui_text("severity_report", "en") == "cannot tell"


def class_codes(tree: ast.Module) -> Iterator[str]:
    """Yield the code of every class that declares one, and of every literal Reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                names = item.targets if isinstance(item, ast.Assign) else []
                names = [item.target] if isinstance(item, ast.AnnAssign) else names
                value = getattr(item, "value", None)
                if any(getattr(name, "id", "") == "code" for name in names) and isinstance(
                    value, ast.Constant
                ):
                    yield str(value.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value)


def test_every_code_an_error_or_reason_names_is_in_the_list() -> None:
    unknown = {
        (path.name, code)
        for path in (ROOT / "custody").rglob("*.py")
        for code in class_codes(ast.parse(path.read_text(encoding="utf-8")))
        if code not in CODES
    }
    assert unknown == set()


def test_the_search_for_codes_finds_a_planted_one() -> None:
    planted = ast.parse('class XError(E):\n    code: ClassVar[str] = "a"\nReason(code="b")\n')
    assert set(class_codes(planted)) == {"a", "b"}


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/codes/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_code_has_an_up_to_date_page() -> None:
    assert pages().out_of_date() == [], "run python docs/codes/generate.py"


def test_an_outdated_a_missing_and_a_superfluous_page_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pages()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    module.main()
    assert module.out_of_date() == []
    (tmp_path / "held.md").unlink()
    (tmp_path / "fault.md").write_text("changed", encoding="utf-8")
    (tmp_path / "gone.md").write_text("old", encoding="utf-8")
    assert module.out_of_date() == ["fault.md", "gone.md", "held.md"]


def test_explaining_a_code_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from custody.messages import explain_code\n"
        "explain_code('held', 'zh')\n"
        "heavy = {'pydantic', 'prefect', 'sqlalchemy', 'pandas', 'ruamel'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
