"""Eight kinds of tampering with the ledger at sixty places, and what each kind is noticed by (T24).

Whoever tampers owns the database; for the last two kinds also the host, with its files and keys.
What is noticed without any checkpoint, with the files, and with one that is kept elsewhere, is what
README and docs/ledger.md say.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from house import NOW, TESTER, Site, founded
from served_witness import served
from sqlalchemy import Connection, Engine, text

from custody.acts.checkpoints import keep_checkpoint, log_key, require_extended
from custody.acts.context import Custody
from custody.acts.recording import record
from custody.acts.verify import verify_installation
from custody.checkpoint import CheckpointContradictedError, read_checkpoint
from custody.database import tree
from custody.database.engine import make_engine, transaction
from custody.embedded.postgres import EmbeddedPostgres
from custody.ledger import Entry, LedgerBrokenError, entry_bytes
from custody.merkle import leaf_hash
from custody.note import Note, sign_note
from custody.outside.places import Outside, in_folders
from custody.outside.witness import Witness
from custody.outside.witness_client import WitnessPlace

ENTRIES = 130
PLACES = 60
EVERY = 10
TABLES = ("entries", "streams", "leaves", "nodes", "tree")


@dataclass
class Firm:
    """An installation with a ledger, its owner, and its checkpoints at three places."""

    site: Site
    custody: Custody
    owner: Engine
    witness: WitnessPlace
    folder: Path
    given: Note

    def nowhere(self) -> Custody:
        """Return the installation as it is without any checkpoint."""
        return replace(self.custody, outside=in_folders(self.folder / "no", self.folder / "no"))

    def outside(self) -> Custody:
        """Return the installation as it is where only the witness's checkpoint can be trusted."""
        return replace(self.custody, outside=replace(self.nowhere().outside, witness=self.witness))


Tamper: TypeAlias = Callable[[Firm, Connection, int], None]


@pytest.fixture(scope="module")
def firm(_templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    folder = tmp_path_factory.mktemp("ledger")
    with founded(_templates, folder) as site, site.opened() as opened:
        witness = Witness.create(folder / "witness", "witness.example/w1")
        witness.trust(log_key(opened))
        with served(witness, lambda: NOW) as place:
            watched = replace(opened, outside=replace(opened.outside, witness=place))
            for number in range(1, ENTRIES):  # beside the one of the installation's creation
                append(watched, number)
                if number % EVERY == 0:
                    keep_checkpoint(watched)
            assert keep_checkpoint(watched) is not None
            given = watched.outside.journal.read_last()
            assert given is not None
            owner = make_engine(site.databases.owner_url)
            save(owner)
            yield Firm(
                site=site, custody=opened, owner=owner, witness=place, folder=folder, given=given
            )
            owner.dispose()


def append(custody: Custody, number: int) -> None:
    with transaction(custody.data) as connection:
        record(connection, custody, TESTER, "record:data:stored", {"n": number})


def save(owner: Engine) -> None:
    """Keep what the ledger's tables hold, to put it back."""
    with owner.begin() as connection:
        connection.execute(text("CREATE SCHEMA saved"))
        for table in TABLES:
            connection.execute(text(f"CREATE TABLE saved.{table} AS TABLE ledger.{table}"))


@contextmanager
def tampered(firm: Firm, tamper: Tamper, place: int) -> Iterator[None]:
    """Let the ledger, and the files, be what somebody made of them for a while."""
    kept = firm.folder / "kept"
    shutil.copytree(firm.site.folder, kept)
    with firm.owner.begin() as connection:
        tamper(firm, connection, place)
    try:
        yield
    finally:
        with firm.owner.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"TRUNCATE ledger.{table}"))
                connection.execute(text(f"INSERT INTO ledger.{table} TABLE saved.{table}"))
        shutil.rmtree(firm.site.folder)
        kept.rename(firm.site.folder)


def edit(_firm: Firm, connection: Connection, place: int) -> None:
    changed = text("UPDATE ledger.entries SET body = replace(body, :old, :new) WHERE seq = :seq")
    facts = {"old": '"facts":{', "new": '"facts":{"a":1,', "seq": _seq(connection, place)}
    connection.execute(changed, facts)


def delete(_firm: Firm, connection: Connection, place: int) -> None:
    connection.execute(text(f"DELETE FROM ledger.entries WHERE seq = {_seq(connection, place)}"))


def swap(_firm: Firm, connection: Connection, place: int) -> None:
    """Exchange what two entries say, and leave everything else as it is."""
    one, other = _seq(connection, place), _seq(connection, place + 1)
    connection.execute(
        text(
            "UPDATE ledger.entries e SET body = o.body, event = o.event, at = o.at"
            " FROM ledger.entries o WHERE (e.seq, o.seq) IN ((:one, :other), (:other, :one))"
        ),
        {"one": one, "other": other},
    )


def insert(_firm: Firm, connection: Connection, place: int) -> None:
    """Put an entry between two others, whose places move up, with a leaf of its own."""
    whole = Entry(seq=9999, stream=99, number=1, at=NOW, event="record:data:stored", body="{}")
    new = {"place": place, "at": NOW, "hash": leaf_hash(entry_bytes(whole))}
    for statement in (
        "UPDATE ledger.leaves SET place = -place - 1 WHERE place >= :place",
        "UPDATE ledger.leaves SET place = -place WHERE place < 0",
        "INSERT INTO ledger.entries VALUES (9999, 99, 1, :at, 'record:data:stored', '{}')",
        "INSERT INTO ledger.streams VALUES (99, 1)",
        "INSERT INTO ledger.leaves VALUES (:place, 9999, :hash)",
        "UPDATE ledger.tree SET size = size + 1",
    ):
        connection.execute(text(statement), new)


def rebuild(firm: Firm, connection: Connection, place: int) -> None:
    """Edit an entry and make the whole tree anew, as if it had always been so."""
    edit(firm, connection, place)
    _grow_again(connection)


def cut(_firm: Firm, connection: Connection, place: int) -> None:
    """Take away an entry and all behind it, as if they had never been."""
    connection.execute(text(f"DELETE FROM ledger.entries WHERE seq >= {_seq(connection, place)}"))
    _grow_again(connection)


def sign_again(firm: Firm, connection: Connection, place: int) -> None:
    """Rebuild, and with the installation's own key sign every checkpoint in its files anew."""
    rebuild(firm, connection, place)
    journal = firm.custody.outside.journal
    notes = [read_checkpoint(note) for note in journal.read()][:-1]
    journal.everything.unlink()
    journal.last.unlink()
    for checkpoint in notes:
        head = replace(checkpoint.head, root=_root(connection, checkpoint.head.size))
        text_of = replace(checkpoint, head=head).text()
        key = firm.custody.keyring.signing_key()
        journal.add(sign_note(text_of, checkpoint.origin, key))


def put_back_yesterday(firm: Firm, connection: Connection, place: int) -> None:
    """Put an older database in the place of today's, with the files of its time."""
    cut(firm, connection, place)
    journal = firm.custody.outside.journal
    notes = [note for note in journal.read() if read_checkpoint(note).head.size <= place]
    journal.everything.unlink()
    journal.last.unlink()
    for note in notes:
        journal.add(note)


def _seq(connection: Connection, place: int) -> int:
    query = text("SELECT seq FROM ledger.leaves WHERE place = :place")
    return int(connection.execute(query, {"place": place}).scalar_one())


def _grow_again(connection: Connection) -> None:
    for statement in (
        "TRUNCATE ledger.leaves, ledger.nodes",
        "UPDATE ledger.tree SET size = 0, perfect = '{}'",
        "UPDATE ledger.streams SET in_tree = 0",
        "SELECT ledger.sequence(100000)",
    ):
        connection.execute(text(statement))


def _root(connection: Connection, size: int) -> bytes:
    (root,) = tree.roots_of(connection, [(0, size)])
    return root


ALWAYS, BY_FILES, BY_OTHERS = "by itself", "by the files", "by others only"
KINDS = {
    edit: ALWAYS,
    delete: ALWAYS,
    swap: ALWAYS,
    insert: ALWAYS,
    rebuild: BY_FILES,
    cut: BY_FILES,
    sign_again: BY_OTHERS,
    put_back_yesterday: BY_OTHERS,
}


def verdict(custody: Custody, *given: Note) -> str:
    """Return what verification says, empty when it finds nothing."""
    try:
        verify_installation(custody, given=given)
    except (LedgerBrokenError, CheckpointContradictedError) as error:
        return str(error)
    return ""


def test_nothing_is_found_where_nothing_was_changed(firm: Firm) -> None:
    for custody in (firm.nowhere(), firm.custody, firm.outside()):
        assert verdict(custody) == ""
    found = verify_installation(firm.outside(), given=[firm.given])
    assert found.ledger.head.size == ENTRIES
    assert found.ledger.checkpoints == 2


@pytest.mark.parametrize("tamper", KINDS, ids=lambda tamper: tamper.__name__)
def test_what_was_tampered_with_is_noticed(firm: Firm, tamper: Tamper) -> None:
    noticed_by = KINDS[tamper]
    places = [1 + number * (ENTRIES - 4) // (PLACES - 1) for number in range(PLACES)]
    assert len(set(places)) == PLACES
    for place in places:
        with tampered(firm, tamper, place):
            assert verdict(firm.outside()) != "", place
            assert verdict(firm.nowhere(), firm.given) != "", place
            assert (verdict(firm.custody) != "") is (noticed_by != BY_OTHERS), place
            alone = verdict(firm.nowhere())
            assert (alone != "") is (noticed_by == ALWAYS), place
            if tamper in {edit, delete}:
                assert alone.startswith(f"ledger place {place}: ")
    assert verdict(firm.outside()) == ""


@pytest.mark.parametrize("tamper", [rebuild, cut, sign_again, put_back_yesterday])
def test_no_checkpoint_is_made_of_a_ledger_that_contradicts_the_last(
    firm: Firm, tamper: Tamper
) -> None:
    """Not even by an installation that knows of nothing but the witness."""
    watched = replace(firm.custody, outside=replace(firm.custody.outside, witness=firm.witness))
    by = firm.custody if KINDS[tamper] == BY_FILES else watched
    for place in (1, ENTRIES // 2, ENTRIES - 3):
        with tampered(firm, tamper, place):
            before = list(map(str, by.outside.journal.read()))
            append(by, 0)
            with pytest.raises(CheckpointContradictedError):
                keep_checkpoint(by)
            assert list(map(str, by.outside.journal.read())) == before


def test_a_witness_that_forgot_what_it_cosigned_is_not_believed(firm: Firm, tmp_path: Path) -> None:
    """Who put back everything here wipes the witness too, or has another answer for it."""
    watched = replace(firm.custody, outside=replace(firm.custody.outside, witness=firm.witness))
    assert verdict(watched) == ""
    empty = Witness.create(tmp_path / "empty", "witness.example/w1")
    empty.trust(log_key(firm.custody))
    forgetful = replace(empty, private=_private_of(firm))
    with served(forgetful, lambda: NOW) as place:
        asked = replace(watched, outside=replace(watched.outside, witness=place))
        assert f"{ENTRIES} entries: the witness" in verdict(asked)


def _private_of(firm: Firm) -> Ed25519PrivateKey:
    return Witness.open(firm.folder / "witness").private


def test_an_old_file_beside_the_keystore_does_not_hide_the_journal(firm: Firm) -> None:
    """Keys and database come back from one backup; the journal on another disk knows better."""
    journal = firm.custody.outside.journal
    with tampered(firm, cut, ENTRIES // 2):
        for left in (None, next(iter(journal.read()))):
            journal.last.unlink(missing_ok=True)
            if left is not None:
                journal.last.write_bytes(str(left).encode())
            before = journal.everything.read_bytes()
            with pytest.raises(CheckpointContradictedError):
                keep_checkpoint(firm.custody)
            with pytest.raises(CheckpointContradictedError):
                require_extended(firm.custody)
            assert journal.everything.read_bytes() == before


def test_a_tree_that_somebody_holds_is_noticed(firm: Firm) -> None:
    """Entries behind it would be in no tree and under no checkpoint, for whoever wants to cut."""
    with firm.owner.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(1818584167, 0)"))
        with tampered(firm, lambda *_: None, 1):
            append(firm.custody, 0)
            assert keep_checkpoint(firm.custody) is None  # it may be somebody's turn just now
            _age(firm, 61)
            with pytest.raises(LedgerBrokenError):
                keep_checkpoint(firm.custody)
            assert "kept from their places" in verdict(firm.custody)
        holder.rollback()
        holder.execute(text("SELECT pg_advisory_unlock_all()"))


def _age(firm: Firm, seconds: int) -> None:
    with firm.owner.begin() as connection:
        older = "UPDATE ledger.entries SET at = at - make_interval(secs => :s)"
        newest = "WHERE seq = (SELECT max(seq) FROM ledger.entries)"
        connection.execute(text(f"{older} {newest}"), {"s": seconds})


def test_the_careless_twin_signs_whatever_is_there(firm: Firm) -> None:
    """Without comparing it with the last one, a cut ledger would be vouched for."""
    forgetful = replace(firm.custody, outside=Outside(journal=firm.nowhere().outside.journal))
    with tampered(firm, cut, 5):
        kept = keep_checkpoint(forgetful)
        assert kept is not None
        assert kept.head.size == 5
        assert verdict(forgetful) == ""
    shutil.rmtree(firm.folder / "no")
