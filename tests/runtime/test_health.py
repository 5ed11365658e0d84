"""The doctor finds what is wrong, and finds nothing wrong with what custody starts itself."""

from pathlib import Path

import psycopg
import pytest
from own_databases import Databases

from custody.embedded.endpoints import DATA, Role
from custody.embedded.finding import Finding, Status
from custody.embedded.health import Patient, examine
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import UsageError


def bad(findings: list[Finding]) -> dict[str, str]:
    return {one.name: one.detail for one in findings if one.status is not Status.OK}


def patient(home: Path, databases: Databases) -> Patient:
    return Patient(home=home, database_url=databases.app_url, keys_url=databases.keys_url)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_what_custody_starts_itself_is_in_order(home: Path, bare_databases: Databases) -> None:
    found = bad(examine(patient(home, bare_databases)))
    assert found == {"prefect server": "not running"}


def test_with_nothing_running_it_says_so_and_does_not_raise(home: Path) -> None:
    found = bad(examine(Patient(home=home)))
    assert set(found.values()) == {"not running"}


def test_an_address_where_nothing_answers(home: Path) -> None:
    nowhere = "postgresql+psycopg://a@127.0.0.1:1/x"
    asked = Patient(
        home=home,
        database_url=nowhere,
        keys_url=nowhere,
        prefect_api_url="http://127.0.0.1:1/api",
    )
    assert set(bad(examine(asked)).values()) == {"does not answer"}


def test_a_superuser_and_an_owner_are_too_wide(
    home: Path, bare_databases: Databases, postgres: EmbeddedPostgres
) -> None:
    admin = postgres.endpoints.url(Role.ADMIN, DATA)
    findings = examine(
        Patient(home=home, database_url=admin, keys_url=bare_databases.keys_owner_url)
    )
    wide = [one.detail for one in findings if "too wide" in one.detail]
    assert "its role is too wide: superuser" in wide
    assert "its role is too wide: owns the database" in wide


def test_one_database_for_both_is_found(home: Path, bare_databases: Databases) -> None:
    url = bare_databases.app_url
    found = bad(examine(Patient(home=home, database_url=url, keys_url=url)))
    assert found["key database"] == "is the data database"


def test_a_talkative_log_is_found(
    home: Path, bare_databases: Databases, postgres: EmbeddedPostgres
) -> None:
    name = bare_databases.app_url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(postgres.admin_conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    found = bad(examine(patient(home, bare_databases)))
    assert found["data database"].startswith("log_statement is all")


def test_a_home_others_can_enter_is_found(home: Path) -> None:
    home.chmod(0o755)
    assert bad(examine(Patient(home=home)))["home"] == "mode 0755"


def test_a_key_file_others_can_read_is_found(home: Path) -> None:
    key = home / "key"
    key.touch(mode=0o644)
    assert bad(examine(Patient(home=home, key_file=key)))["key file"] == "mode 0644"


def test_what_does_not_load_is_named_with_its_code(home: Path) -> None:
    def broken() -> str:
        raise UsageError("no policy", "geheim")

    findings = examine(Patient(home=home, loads={"policy": broken, "keystore": lambda: "7 keys"}))
    assert bad(findings)["policy"] == "usage"
    assert "7 keys" in {one.detail for one in findings}


def test_a_misspelt_variable_is_named(home: Path) -> None:
    findings = examine(Patient(home=home, unknown_variables=["CUSTODY_POLCY"]))
    assert bad(findings)["settings"] == "CUSTODY_POLCY is read by nothing"
