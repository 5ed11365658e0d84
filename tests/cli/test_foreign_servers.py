"""A firm's own PostgreSQL: custody uses the databases it is given and starts none of its own."""

from pathlib import Path

import pytest
from cli_firm import WORDS, call
from own_databases import Databases

OFFICERS = ("--officer", "孙立:保密管理部", "--officer", "李敏:保密管理部")


@pytest.fixture
def own(
    bare_databases: Databases, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Return a home whose settings name databases elsewhere, and the file with the owner's URLs."""
    home, owners, words = short_tmp / "home", short_tmp / "owners", short_tmp / "words"
    owners.write_text(f"{bare_databases.owner_url}\n{bare_databases.keys_owner_url}\n")
    words.write_text(f"{WORDS}\n{WORDS}\n")
    monkeypatch.setenv("CUSTODY_HOME", str(home))
    monkeypatch.setenv("CUSTODY_DATABASE_URL", bare_databases.app_url)
    monkeypatch.setenv("CUSTODY_KEYS_URL", bare_databases.keys_url)
    monkeypatch.setenv("CUSTODY_PERSON_PASSPHRASE_FILE", str(words))
    return home, owners


def test_an_installation_is_made_in_databases_of_ones_own(own: tuple[Path, Path]) -> None:
    home, owners = own
    made = call("init", *OFFICERS, "--owner-urls", str(owners), "--json")
    assert made.code == 0, made.out + made.err
    verified = call("verify", "--deep", "--json")
    assert (verified.code, verified.json["ok"]) == (0, True)
    assert not (home / "postgres" / "data").exists()
    migrated = call("migrate", "--owner-urls", str(owners), "--json")
    assert (migrated.code, migrated.json) == (0, {"data": "d0009", "keys": "k0004"})


def test_databases_that_are_not_migrated_are_not_touched_without_their_owner(
    own: tuple[Path, Path],
) -> None:
    refused = call("init", *OFFICERS, "--json")
    assert refused.code == 2
    assert "--owner-urls" in refused.out
    assert not (own[0] / "keys").exists()


@pytest.mark.usefixtures("own")
def test_one_database_for_both_is_refused(
    monkeypatch: pytest.MonkeyPatch, bare_databases: Databases
) -> None:
    monkeypatch.setenv("CUSTODY_KEYS_URL", bare_databases.app_url)
    refused = call("status", "--json")
    assert refused.code == 2
    assert "two databases" in refused.out
