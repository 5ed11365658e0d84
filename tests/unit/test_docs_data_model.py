"""Every table of the migrations is on the page of the data model, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "custody" / "database" / "migrations"
PAGE = ROOT / "docs" / "data-model.md"
# Signatures, public keys and digests hide nothing.
OPEN = frozenset({"signature", "public_key", "digest", "data_digest"})


def created(*texts: str) -> set[str]:
    """Return the tables there are after migrations in order; a schema may be made anew."""
    found: dict[str, set[str]] = {"custody": set(), "ledger": set()}
    for text in texts:
        for schema in re.findall(r"DROP SCHEMA (\w+) CASCADE", text):
            found[schema].clear()
        for schema, table in re.findall(r"CREATE TABLE (custody|ledger)\.(\w+)", text):
            found[schema].add(table)
    return found["custody"] | found["ledger"]


def documented(text: str) -> set[str]:
    """Return the names in the first column of the tables whose rows are tables."""
    before_keystore = text.partition("\n## Keystore")[0]
    return set(re.findall(r"^\| `(\w+)` \|", before_keystore, flags=re.MULTILINE))


def migrated() -> set[str]:
    paths = sorted(MIGRATIONS.rglob("*.py"), key=lambda path: path.name)
    return created(*(path.read_text(encoding="utf-8") for path in paths))


def row_of(page: str, table: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| `{table}` |"))


def test_every_table_is_documented_and_every_documented_one_exists() -> None:
    assert documented(PAGE.read_text(encoding="utf-8")) == migrated()


def test_a_planted_table_is_found() -> None:
    planted = "CREATE TABLE custody.planted (id uuid);"
    assert created(planted) == {"planted"}
    assert created(planted, "DROP SCHEMA custody CASCADE; CREATE TABLE ledger.b (a int)") == {"b"}
    assert documented("| `planted` | x |\n## Keystore\n| `tag` | y |") == {"planted"}


def test_every_column_that_hides_something_is_named_in_its_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in MIGRATIONS.rglob("*.py")]
    dropped = {
        change
        for text in texts
        for change in re.findall(r"ALTER TABLE custody\.(\w+) DROP COLUMN (\w+)", text)
    }
    assert ("identity_tags", "suppression") in dropped
    missing = [
        (table, column)
        for text in texts
        for table, body in re.findall(
            r"CREATE TABLE custody\.(\w+) \(\n(.*?)\n\)", text, flags=re.DOTALL
        )
        for column in re.findall(r"^    (\w+) bytea", body, flags=re.MULTILINE)
        if column not in OPEN
        and (table, column) not in dropped
        and column not in row_of(page, table)
    ]
    assert missing == []
