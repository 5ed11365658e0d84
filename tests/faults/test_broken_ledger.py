"""If the ledger cannot be written nothing is changed, and nothing is lost when it comes back (T25).

It is broken in four ways before each chapter of the story, and at every single entry of it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from breaking import WAYS, everything_in, in_a_thread
from fingerprint import fingerprint
from house import Site, copied, founded
from own_databases import Databases
from sqlalchemy import text
from sqlalchemy.engine import make_url
from story import Act, chapters, remembered, write_files

from custody.acts.verify import verify_installation
from custody.database.engine import DatabaseError, transaction
from custody.embedded.postgres import EmbeddedPostgres
from custody.quality import check

NAMES = ("consents", "first", "second", "store", "overlap", "events", "ends", "destroy")
# What an act may leave before its first entry: places made ready, no effect on anybody.
LEFT_BEHIND = {"custody.search_plans", "custody.periods"}


class Told:
    """The story, told once without interruption, kept as it was before each chapter."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.acts: dict[str, Act] = {}
        self.before: dict[str, Site] = {}
        self.after: dict[str, object] = {}
        self.entries: dict[str, int] = {}


@pytest.fixture(scope="module")
def told(_templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder, told = tmp_path_factory.mktemp("broken"), Told()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(check, "run", remembered(check.run))
        site = stack.enter_context(founded(_templates, folder))
        for name, act in chapters(write_files(folder / "files")):
            told.acts[name], told.before[name] = act, site
            site = stack.enter_context(copied(_templates, site, folder))
            with site.opened() as custody:
                act(custody)
            told.entries[name] = _entries(site) - _entries(told.before[name])
            with site.opened() as custody:
                told.after[name] = fingerprint(custody)
        yield told


def _entries(site: Site) -> int:
    with site.opened() as custody, transaction(custody.data) as connection:
        found = connection.execute(text("SELECT count(*) FROM ledger.entries"))
        return int(found.scalar_one())


def played(site: Site, act: Act) -> BaseException | None:
    def play() -> None:
        with site.opened() as custody:
            act(custody)

    return in_a_thread(play)


def finished(site: Site, act: Act) -> object:
    """Play a chapter to its end, now that the ledger is there again, and return what it came to."""
    assert played(site, act) is None
    with site.opened() as custody:
        verify_installation(custody, deep=True)
        return fingerprint(custody)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_without_the_ledger_nothing_is_changed_and_nothing_is_lost(
    told: Told, tmp_path: Path, postgres: EmbeddedPostgres, name: str, way: str
) -> None:
    with copied(postgres, told.before[name], tmp_path) as site:
        before = everything_in(postgres, site.databases)
        with WAYS[way](postgres, site.databases):
            assert isinstance(played(site, told.acts[name]), DatabaseError)
        after = everything_in(postgres, site.databases)
        assert {table for table in before if before[table] != after[table]} <= LEFT_BEHIND
        assert finished(site, told.acts[name]) == told.after[name]


@pytest.mark.parametrize("name", NAMES)
def test_broken_at_any_entry_the_end_is_the_same(
    told: Told, tmp_path: Path, postgres: EmbeddedPostgres, name: str
) -> None:
    assert told.entries[name] > 0
    for place in range(2, told.entries[name] + 1):
        with copied(postgres, told.before[name], tmp_path) as site:
            with broken_at(postgres, site.databases, place) as reached:
                error = played(site, told.acts[name])
            assert isinstance(error, DatabaseError) is reached[0], (place, error)
            assert finished(site, told.acts[name]) == told.after[name], place


class broken_at:  # noqa: N801 - used like a function
    """The disk is full from the given append on; the list says whether that was reached."""

    def __init__(self, server: EmbeddedPostgres, databases: Databases, place: int) -> None:
        """Take where, and at which append."""
        self._admin = server.admin_conninfo(str(make_url(databases.owner_url).database))
        self._place = place
        self._reached = [False]

    def __enter__(self) -> list[bool]:
        """Break it; a sequence counts, for it does not go back with a transaction."""
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(
                "CREATE SEQUENCE public.appends;"
                " CREATE FUNCTION public.break_it() RETURNS trigger LANGUAGE plpgsql"
                " SECURITY DEFINER AS $$ BEGIN"
                f" IF nextval('public.appends') >= {self._place} THEN RAISE disk_full; END IF;"
                " RETURN NEW; END $$;"
                " CREATE TRIGGER break_it BEFORE INSERT ON ledger.entries"
                " FOR EACH ROW EXECUTE FUNCTION public.break_it()"
            )
        return self._reached

    def __exit__(self, *_: object) -> None:
        """Mend it."""
        with psycopg.connect(self._admin, autocommit=True) as connection:
            row = connection.execute("SELECT last_value FROM public.appends").fetchone()
            self._reached[0] = row is not None and row[0] >= self._place
            connection.execute(
                "DROP TRIGGER break_it ON ledger.entries; DROP FUNCTION public.break_it();"
                " DROP SEQUENCE public.appends"
            )


def test_the_careless_twin_changes_and_says_nothing(
    told: Told, tmp_path: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes its entry in a transaction of its own loses it, and has done its work."""
    monkeypatch.setattr("custody.acts.recording.append_entry", lambda *_: 0)
    with copied(postgres, told.before["destroy"], tmp_path) as site:
        before = everything_in(postgres, site.databases)
        with WAYS["disk full"](postgres, site.databases):
            assert played(site, told.acts["destroy"]) is None
        after = everything_in(postgres, site.databases)
        assert before["ledger.entries"] == after["ledger.entries"]
        assert before["custody.plans"] != after["custody.plans"]
