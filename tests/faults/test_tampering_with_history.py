"""Certificates, policies, old versions of records: what was changed is named (T8)."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import text
from tampering import Opened, told, verdict

from custody.embedded.postgres import EmbeddedPostgres
from custody.identifiers import CERTIFICATE, show_id


@pytest.fixture(scope="module")
def opened(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    with told(_templates, tmp_path_factory.mktemp("history")) as opened:
        yield opened


def test_a_certificate_or_a_policy_that_was_rewritten(opened: Opened) -> None:
    rewritten = {
        "certificates": ("body", 'replace(body, \'"part":"one"\', \'"part":"two"\')'),
        "policy_versions": ("documents", "jsonb_set(documents, '{roles.yaml}', '\"\"')"),
    }
    for table, (column, change) in rewritten.items():
        with opened.data.begin() as connection:
            query = f"SELECT {column}::text AS was, t.* FROM {table} t"
            before = connection.execute(text(query)).one()
            connection.execute(text(f"UPDATE {table} SET {column} = {change}"))
        try:
            name = before.digest[:16] if table == "policy_versions" else _shown(before.id)
            assert name in verdict(opened)
        finally:
            kind = "jsonb" if column == "documents" else "text"
            with opened.data.begin() as connection:
                connection.execute(
                    text(f"UPDATE {table} SET {column} = CAST(:was AS {kind})"),
                    {"was": before.was},
                )
    assert verdict(opened) == ""


def _shown(certificate: Any) -> str:
    return show_id(CERTIFICATE, certificate)


def test_an_old_version_put_back(opened: Opened) -> None:
    """Once with its seals alone, once as the whole row it was; its key is gone by then."""
    seals = ("general", "sensitive", "secret")
    with opened.data.connect() as connection:
        rows = connection.execute(text("SELECT * FROM records"))
        now = {row.id: dict(row._mapping) for row in rows}
    replaced = [
        old for old in opened.old_rows if now.get(old["id"], old)["version"] > old["version"]
    ]
    assert len(replaced) >= 3
    for old in replaced:
        for columns in (seals, tuple(old)):
            _put_row(opened, {**now[old["id"]], **{name: old[name] for name in columns}})
            try:
                assert f"record {old['id']}" in verdict(opened)
            finally:
                _put_row(opened, now[old["id"]])
    assert verdict(opened) == ""


def _put_row(opened: Opened, row: Mapping[str, Any]) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in row)
    with opened.data.begin() as connection:
        connection.execute(text(f"UPDATE records SET {changes} WHERE id = :id"), row)
