"""The record is kept as long as it must be and no longer; what is left still verifies (G3).

Entries are made old where only the owner of the database could: they are dated back before the tree
and the checkpoints are made of them, and the witness's clock shows the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest
from house import TESTER, founded
from served_witness import served
from sqlalchemy import Engine, text

from custody.acts import retiring
from custody.acts.checkpoints import keep_checkpoint, log_key
from custody.acts.context import Custody
from custody.acts.evidence import Scope, export_evidence
from custody.acts.keeping import undone_by_backup
from custody.acts.recording import record
from custody.acts.retiring import Retired, retire_entries
from custody.acts.subjects import ChangedMeanwhileError
from custody.acts.verify import Verified, verify_installation, verify_ledger
from custody.checkpoint import CheckpointContradictedError
from custody.database import tree
from custody.database.engine import DatabaseError, make_engine, transaction
from custody.database.retiring import last_numbers, remove_entries
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import UsageError
from custody.evidence import verify
from custody.ledger import RETIRED, LedgerBrokenError
from custody.outside.witness import Witness
from custody.steps import observed_by

OLD, MIDDLE, NEW = 11, 5, 0  # years; the example policy keeps entries for ten
EACH = 40


@dataclass
class Firm:
    """An installation whose record reaches back eleven years, and the owner of its database.

    Attributes:
        seen_at: What the clock of its witness shows.
    """

    custody: Custody
    owner: Engine
    folder: Path
    seen_at: datetime

    def size(self) -> int:
        with transaction(self.custody.data) as connection:
            return int(connection.execute(text("SELECT size FROM ledger.tree")).scalar_one())

    def entries(self) -> int:
        with transaction(self.custody.data) as connection:
            found = connection.execute(text("SELECT count(*) FROM ledger.entries"))
            return int(found.scalar_one())

    def retire(self, **how: bool) -> Retired:
        return retire_entries(self.custody, TESTER, self.owner, **how)

    def run(self, statement: str) -> None:
        with self.owner.begin() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def firm(_templates: EmbeddedPostgres, tmp_path: Path) -> Iterator[Firm]:
    with founded(_templates, tmp_path) as site, site.opened() as custody:
        owner = make_engine(site.databases.owner_url)
        witness = Witness.create(tmp_path / "witness", "witness.example/w1")
        witness.trust(log_key(custody))
        made = Firm(custody, owner, tmp_path, seen_at=custody.now())
        with served(witness, lambda: made.seen_at) as place:
            made.custody = replace(custody, outside=replace(custody.outside, witness=place))
            _date_back(made, OLD)
            for years in (OLD, MIDDLE, NEW):
                _write(made, years)
            yield made
        owner.dispose()


def _write(firm: Firm, years: int) -> None:
    """Append entries and keep a checkpoint of them, all of so many years ago."""
    with _dated(firm, years):
        for number in range(EACH):
            with transaction(firm.custody.data) as connection:
                record(connection, firm.custody, TESTER, "consent:subject:withdrawn", {"n": number})
        if years == OLD:
            _write_beside(firm)
    firm.seen_at = firm.custody.now() - timedelta(days=366 * years)
    keep_checkpoint(firm.custody)


def _date_back(firm: Firm, years: int) -> None:
    """Date back what the founding of the installation wrote, before anybody vouched for it."""
    firm.run(f"UPDATE ledger.entries SET at = at - interval '{years} years'")


@contextmanager
def _dated(firm: Firm, years: int) -> Iterator[None]:
    """Have the database date what is appended so many years back: its owner's doing."""
    if not years:
        yield
        return
    firm.run(
        "CREATE FUNCTION ledger.back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" NEW.at := NEW.at - interval '{years} years'; RETURN NEW; END $$;"
        " CREATE TRIGGER back BEFORE INSERT ON ledger.entries"
        " FOR EACH ROW EXECUTE FUNCTION ledger.back()"
    )
    try:
        yield
    finally:
        firm.run("DROP TRIGGER back ON ledger.entries; DROP FUNCTION ledger.back()")


def _first_new(firm: Firm) -> int:
    """Return how many entries are eleven years old, which is where a checkpoint was kept."""
    with transaction(firm.custody.data) as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM ledger.entries WHERE at < now() - interval '10 years'")
            ).scalar_one()
        )


def gone(found: Verified) -> int:
    """Return how many entries verification found to be removed rightly."""
    return 0 if found.ledger.retired is None else found.ledger.retired.upto


def test_what_is_past_its_retention_goes_and_the_rest_verifies(firm: Firm) -> None:
    before, old = firm.size(), _first_new(firm)
    assert EACH <= old < before
    done = firm.retire()
    assert (done.entries, done.upto, done.years) == (old, old, 10)
    assert firm.entries() == before - old + 1
    found = verify_installation(firm.custody, deep=True)
    assert (gone(found), found.ledger.head.size) == (old, before + 1)
    assert found.ledger.checkpoints >= 3


def test_what_is_left_is_proved_as_before(firm: Firm) -> None:
    firm.retire()
    path = firm.folder / "all.zip"
    receipt = export_evidence(firm.custody, TESTER, Scope(), path)
    said = verify.verify(str(path), str(log_key(firm.custody)))
    assert said["entries shown"] == receipt.entries == firm.entries()
    with ZipFile(path) as package:
        assert b"ledger:entries:retired" in package.read("entries.jsonl")


def test_again_nothing_goes_until_more_is_old_enough(firm: Firm) -> None:
    first = firm.retire()
    again = firm.retire()
    assert (again.entries, again.upto) == (0, first.upto)
    verify_installation(firm.custody)
    settings = replace(firm.custody.policy.settings, log_retention_years=4)
    firm.custody = replace(firm.custody, policy=replace(firm.custody.policy, settings=settings))
    second = firm.retire()
    assert (second.entries, second.upto) == (EACH, first.upto + EACH)
    assert gone(verify_installation(firm.custody)) == second.upto


def test_a_dry_run_removes_nothing(firm: Firm) -> None:
    before = firm.entries()
    assert firm.retire(dry_run=True).entries == _first_new(firm)
    assert firm.entries() == before


def test_streams_whose_every_entry_went_are_written_to_again(firm: Firm) -> None:
    assert _streams(firm) == {1, 2}
    firm.retire()
    assert _streams(firm) == {1}
    _write_beside(firm)
    assert _streams(firm) == {1, 2}
    verify_installation(firm.custody)


def _streams(firm: Firm) -> set[int]:
    with transaction(firm.custody.data) as connection:
        return set(connection.execute(text("SELECT stream FROM ledger.entries")).scalars())


def _write_beside(firm: Firm) -> None:
    """Append an entry while somebody else is about to: it goes to the second stream."""
    custody = firm.custody
    with transaction(custody.data) as first:
        record(first, custody, TESTER, "consent:subject:withdrawn", {"n": 1})
        with transaction(custody.data) as second:
            record(second, custody, TESTER, "consent:subject:withdrawn", {"n": 2})


def test_no_setting_makes_it_shorter_than_three_years(firm: Firm) -> None:
    settings = replace(firm.custody.policy.settings, log_retention_years=1)
    firm.custody = replace(firm.custody, policy=replace(firm.custody.policy, settings=settings))
    assert firm.retire().years == 3


def test_what_no_checkpoint_closes_stays(firm: Firm) -> None:
    """A part of the old entries stands behind the last checkpoint of its time."""
    for path in (firm.custody.outside.journal.everything, firm.custody.outside.journal.last):
        path.unlink()
    keep_checkpoint(firm.custody)
    assert firm.retire().entries == 0


def test_the_application_itself_removes_nothing(firm: Firm) -> None:
    with pytest.raises(DatabaseError, match="42501"):
        retire_entries(firm.custody, TESTER, firm.custody.data)
    verify_installation(firm.custody)


def test_killed_before_its_end_nothing_went(firm: Firm) -> None:
    before = firm.entries()

    def die(step: str) -> None:
        if step == "ledger:entries:retired:before-commit":
            raise KeyboardInterrupt

    with observed_by(die), pytest.raises(KeyboardInterrupt):
        firm.retire()
    assert firm.entries() == before
    verify_installation(firm.custody)
    done = firm.retire()
    assert firm.entries() == before - done.entries + 1


TAMPERED = {
    "one more went": "DELETE FROM ledger.entries WHERE seq = (SELECT min(seq) FROM ledger.entries)",
    "the entry that says so went": (
        "DELETE FROM ledger.entries WHERE event = 'ledger:entries:retired'"
    ),
    "it says it of more": (
        "UPDATE ledger.entries SET body = replace(body, '\"upto\":', '\"upto\":1')"
        " WHERE event = 'ledger:entries:retired'"
    ),
    "a leaf went too": "DELETE FROM ledger.leaves WHERE place = 3",
    "a leaf is another": "UPDATE ledger.leaves SET hash = sha256(hash) WHERE place = 3",
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_went_otherwise_is_noticed(firm: Firm, how: str) -> None:
    firm.retire()
    firm.run(TAMPERED[how])
    with pytest.raises((LedgerBrokenError, CheckpointContradictedError)):
        verify_installation(firm.custody)


def test_entries_that_went_without_a_word_are_noticed(firm: Firm) -> None:
    old = _first_new(firm)
    firm.run(
        "DELETE FROM ledger.parts p USING ledger.leaves l WHERE p.seq = l.seq"
        f" AND l.place < {old}; DELETE FROM ledger.entries e USING ledger.leaves l"
        f" WHERE e.seq = l.seq AND l.place < {old}"
    )
    with pytest.raises(LedgerBrokenError, match="no entry says"):
        verify_installation(firm.custody)


FACTS = {"upto": 5, "entries": 5, "root": "00", "streams": [[1, 5]], "before": "", "years": 10}


def test_the_application_cannot_say_that_entries_were_removed(firm: Firm) -> None:
    with (
        pytest.raises(DatabaseError, match="42501"),
        transaction(firm.custody.data) as connection,
    ):
        record(connection, firm.custody, TESTER, RETIRED, FACTS)
    verify_installation(firm.custody)


@pytest.mark.parametrize(
    "facts", [FACTS, {"n": 1}, {**FACTS, "streams": [[9999, 5]]}, {**FACTS, "years": 5000}], ids=str
)
def test_what_its_owner_makes_up_of_it_breaks_nothing(firm: Firm, facts: dict[str, object]) -> None:
    with transaction(firm.owner) as connection:
        record(connection, firm.custody, TESTER, RETIRED, facts)
    verify_installation(firm.custody)
    firm.retire()
    verify_installation(firm.custody)


def test_nobody_ever_sees_the_ledger_without_the_entry_that_excuses_it(firm: Firm) -> None:
    seen = []

    def look(step: str) -> None:
        if step == "retire:committed":
            seen.append(gone(verify_installation(firm.custody)))

    with observed_by(look):
        done = firm.retire()
    assert seen == [done.upto]


def test_where_no_place_is_to_be_had_nothing_goes(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = firm.entries()
    with monkeypatch.context() as patch:
        patch.setattr(retiring.tree, "sequence", lambda _: 0)
        with pytest.raises(LedgerBrokenError, match="gets no place"):
            firm.retire()
    assert firm.entries() == before
    verify_installation(firm.custody)


def test_two_at_once_do_not_both_say_that_they_did_it(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verify_ledger(firm.custody, ())
    firm.retire()
    monkeypatch.setattr(retiring, "verify_ledger", lambda *_: before)
    with pytest.raises(ChangedMeanwhileError):
        firm.retire()
    verify_installation(firm.custody)


def test_nothing_is_said_of_backups_older_than_the_record(firm: Firm) -> None:
    today = firm.custody.today()
    assert undone_by_backup(firm.custody, today.replace(year=2012)) == []
    firm.retire()
    with pytest.raises(UsageError, match="only since"):
        undone_by_backup(firm.custody, today.replace(year=2012))
    assert undone_by_backup(firm.custody, today) == []


def _take_away(firm: Firm) -> int:
    """Remove every entry but the last ones as the database's owner, and write what excuses it."""
    upto = firm.size()
    _write(firm, NEW)
    with transaction(firm.owner) as connection:
        facts = {
            "upto": upto,
            "entries": upto,
            "root": tree.roots_of(connection, [(0, upto)])[0].hex(),
            "streams": [list(one) for one in last_numbers(connection, upto).items()],
            "before": "",
            "years": 10,
        }
        remove_entries(connection, upto)
        record(connection, firm.custody, TESTER, RETIRED, facts)
    return upto


def test_a_witness_tells_that_entries_went_before_their_time(firm: Firm) -> None:
    _take_away(firm)
    with pytest.raises(LedgerBrokenError, match="before their time"):
        verify_installation(firm.custody)


def test_without_a_witness_the_owner_can_excuse_what_it_removes(firm: Firm) -> None:
    """As README and docs/ledger.md say: a checkpoint in a file has no date of its own."""
    upto = _take_away(firm)
    alone = replace(firm.custody, outside=replace(firm.custody.outside, witness=None))
    assert gone(verify_installation(alone)) == upto
