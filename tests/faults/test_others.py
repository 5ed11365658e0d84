"""After an erasure every other customer's rows are what they were, byte for byte (T22)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import TESTER, Site, destroy, founded, plan_all
from sqlalchemy import Connection, text
from story import LEAVES_CARE, chapters, require_customer, write_files

from custody.acts import destroy as destroy_acts
from custody.acts.endings import finish_endings
from custody.acts.verify import verify_installation
from custody.database import records
from custody.database.engine import make_engine
from custody.embedded.postgres import EmbeddedPostgres

ERASED = (0, 8, LEAVES_CARE)
TABLES = ("records", "record_keys", "search_index", "identity_tags", "consents", "holds",
          "retention_events", "request_records")  # fmt: skip
KEY_TABLES = ("data_keys", "consent_keys")
WHOLE = ("intake", "quarantine", "batch_chunks", "batches")


@pytest.fixture
def site(_templates: EmbeddedPostgres, tmp_path: Path) -> Iterator[Site]:
    """Tell the story up to its events, and destroy nothing yet."""
    with founded(_templates, tmp_path) as site:
        with site.opened() as custody:
            for _, act in chapters(write_files(tmp_path / "files"))[:5]:
                act(custody)
        yield site


def rows_of_others(site: Site, erased: set[str]) -> dict[str, str]:
    """Return a digest of every row that belongs to somebody else, by table."""
    found = {}
    for url, tables in (
        (site.databases.owner_url, TABLES),
        (site.databases.keys_owner_url, KEY_TABLES),
    ):
        engine = make_engine(url)
        with engine.connect() as connection:
            for table in tables:
                where = "WHERE customer_id::text <> ALL(:erased)"
                found[table] = _digest(connection, f"{table} t {where}", erased)
            if tables is TABLES:
                found["customers"] = _digest(
                    connection, "customers t WHERE id::text <> ALL(:erased)", erased
                )
                for table in WHOLE:
                    found[table] = _digest(connection, f"{table} t", None)
        engine.dispose()
    return found


def _digest(connection: Connection, source: str, erased: set[str] | None) -> str:
    parameters = {} if erased is None else {"erased": sorted(erased)}
    rows = connection.execute(text(f"SELECT t::text FROM {source} ORDER BY 1"), parameters)
    lines = list(rows.scalars())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return f"{len(lines)}:{digest}"


def erase(site: Site) -> tuple[dict[str, str], dict[str, str]]:
    """Erase some customers one after the other; return what others had before and after."""
    with site.opened() as custody:
        people = [require_customer(custody, index) for index in ERASED]
        erased = {str(one) for one in people}
        before = rows_of_others(site, erased)
        for one in people:
            destroy(custody, plan_all(custody, one))
        after = rows_of_others(site, erased)
        finish_endings(custody, TESTER)
        verify_installation(custody, deep=True)
    return before, after


def test_every_other_customers_rows_are_equal_byte_for_byte(site: Site) -> None:
    before, after = erase(site)
    assert after == before
    assert not before["records"].startswith("0:")


def test_a_careless_erasure_touches_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: it deletes search entries by a coarse tag, which many share."""
    plain = records.delete_records

    def careless(connection: Connection, ids: list[object]) -> int:
        connection.execute(
            text(
                "DELETE FROM search_index WHERE get_byte(tag, 0) % 4 IN"
                " (SELECT get_byte(tag, 0) % 4"
                " FROM search_index WHERE record_id = ANY(:ids))"
            ),
            {"ids": list(ids)},
        )
        return plain(connection, ids)

    monkeypatch.setattr(destroy_acts.records, "delete_records", careless)
    before, after = erase(site)
    assert {table for table in before if before[table] != after[table]} == {"search_index"}
