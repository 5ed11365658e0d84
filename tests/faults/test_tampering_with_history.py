"""Ledger, head, certificates, policies, old versions: what was changed is named (T8, T24)."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tampering import Opened, flipped, told, verdict

from custody.embedded.postgres import EmbeddedPostgres
from custody.identifiers import CERTIFICATE, show_id

SEED = 20261123


@pytest.fixture(scope="module")
def opened(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    with told(_templates, tmp_path_factory.mktemp("history")) as opened:
        yield opened


def entries(opened: Opened) -> list[dict[str, Any]]:
    with opened.data.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ledger.entries ORDER BY seq"))
        return [dict(row._mapping) for row in rows]


@contextmanager
def entry_with(opened: Opened, entry: Mapping[str, Any], column: str, value: Any) -> Iterator[None]:
    """Let one column of an entry hold something else for a while."""
    seq = value if column == "seq" else entry["seq"]
    statement = f"UPDATE ledger.entries SET {column} = :value WHERE seq = :seq"
    with opened.data.begin() as connection:
        connection.execute(text(statement), {"value": value, "seq": entry["seq"]})
    try:
        yield
    finally:
        with opened.data.begin() as connection:
            connection.execute(text(statement), {"value": entry[column], "seq": seq})


def altered(column: str, value: Any, chance: random.Random) -> Any:
    """Return the least change of a column's value that the table lets in."""
    match column:
        case "seq":
            return value + 1_000_000
        case "at":
            return value + timedelta(microseconds=1)
        case "event":
            return value[:-1] + ("x" if value[-1] != "x" else "y")
        case "body":
            place = chance.randrange(len(value))
            return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
    return flipped(bytes(value), chance.randrange(len(value)))


@pytest.mark.parametrize("column", ["seq", "at", "event", "body", "previous", "hash"])
def test_any_column_of_any_entry(opened: Opened, column: str) -> None:
    chance = random.Random(f"{SEED}/{column}")
    everything = entries(opened)
    assert len(everything) > 60
    for entry in everything:
        value = altered(column, entry[column], chance)
        with entry_with(opened, entry, column, value):
            assert verdict(opened).startswith(f"ledger entry {entry['seq']}: ")
    assert verdict(opened) == ""


def test_an_entry_taken_out_or_cut_off(opened: Opened) -> None:
    everything = entries(opened)
    for entry in (everything[0], everything[len(everything) // 2], everything[-1]):
        with opened.data.connect() as connection, connection.begin() as undone:
            row = {"seq": entry["seq"]}
            connection.execute(text("DELETE FROM ledger.entries WHERE seq = :seq"), row)
            undone.commit()
        try:
            assert verdict(opened).startswith(f"ledger entry {entry['seq']}: ")
        finally:
            with opened.data.begin() as connection:
                columns = ", ".join(f":{name}" for name in entry)
                connection.execute(text(f"INSERT INTO ledger.entries VALUES ({columns})"), entry)


def test_an_entry_put_behind_the_head(opened: Opened) -> None:
    last = entries(opened)[-1]
    with opened.data.begin() as connection:
        columns = ", ".join(f":{name}" for name in last)
        forged = last | {"seq": last["seq"] + 1, "previous": last["hash"]}
        connection.execute(text(f"INSERT INTO ledger.entries VALUES ({columns})"), forged)
    try:
        assert verdict(opened).startswith(f"ledger entry {last['seq'] + 1}: ")
    finally:
        with opened.data.begin() as connection:
            connection.execute(
                text("DELETE FROM ledger.entries WHERE seq = :seq"), {"seq": last["seq"] + 1}
            )


def test_a_head_that_was_moved(opened: Opened) -> None:
    for change in ("seq = seq - 1", "seq = seq + 1", "hash = set_byte(hash, 3, 7)"):
        with opened.data.begin() as connection:
            before = connection.execute(text("SELECT seq, hash FROM ledger.head")).one()
            connection.execute(text(f"UPDATE ledger.head SET {change}"))
        try:
            assert verdict(opened).startswith("ledger entry ")
        finally:
            with opened.data.begin() as connection:
                connection.execute(
                    text("UPDATE ledger.head SET seq = :seq, hash = :hash"), before._asdict()
                )


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
