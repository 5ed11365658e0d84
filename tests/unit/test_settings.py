"""Settings are checked, documented, and never show a secret."""

from pathlib import Path

import pytest

from config.settings import Settings, load_settings, unknown_variables, variables, wanted
from custody.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
DATA = "postgresql+psycopg://custody_app:geheim@db/custody_data"
KEYS = "postgresql+psycopg://custody_app:geheim@db/custody_keys"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in variables() if f"| `{name}` |" not in page] == []


def test_the_page_documents_nothing_that_is_not_a_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows == set(variables())


def test_nothing_set_means_embedded_in_the_private_home() -> None:
    settings = load_settings()
    assert settings.home == Path.cwd() / ".custody"
    assert wanted(settings).database_url is None
    assert wanted(settings).prefect_api_url is None


def test_a_secret_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTODY_DATABASE_URL", DATA)
    monkeypatch.setenv("CUSTODY_KEYS_URL", KEYS)
    monkeypatch.setenv("PREFECT_API_URL", "http://admin:geheim@prefect/api")
    settings = load_settings()
    assert wanted(settings).database_url == DATA
    shown = f"{settings!r} {settings} {settings.model_dump_json(exclude={'prefect_api_url'})}"
    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUSTODY_DATABASE_URL", "postgresql://custody_app:geheim@db/custody_data"),
        ("CUSTODY_DATABASE_URL", DATA),  # the key database is missing
        ("CUSTODY_CHUNK_ROWS", "geheim"),
        ("CUSTODY_LOCALE", "geheim"),
    ],
)
def test_a_wrong_value_is_refused_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refusal:
        load_settings()
    assert name in str(refusal.value)
    assert "geheim" not in str(refusal.value)


def test_data_and_keys_in_one_database_are_refused() -> None:
    with pytest.raises(ValueError, match="two databases"):
        Settings(database_url=DATA, keys_url=DATA)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.setenv(name, "")
    assert load_settings().home == Path.cwd() / ".custody"


def test_a_misspelt_variable_is_reported_and_a_source_s_own_is_not() -> None:
    environment = {"CUSTODY_POLCY": "x", "CUSTODY_CHINOOK_URL": "x", "CUSTODY_HOME": "x"}
    assert unknown_variables(environment, known=["CUSTODY_CHINOOK_URL"]) == ("CUSTODY_POLCY",)


def test_processes_are_told_the_home_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTODY_HOME", "~/elsewhere")
    assert wanted(load_settings()).environment["CUSTODY_HOME"] == str(Path.home() / "elsewhere")
