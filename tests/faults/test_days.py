"""The keys of a day's batches: once the day and its batches are over, no copy opens them (T10)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from house import NOW, TESTER, TODAY, Site, copied, put_away, take_in, take_keystore
from racing import SAME_QUARTER, contract, contracts_file, settle, transactions_file
from story import transaction_row

from custody.acts.batches import require_batch
from custody.acts.context import Custody
from custody.acts.intake_area import read_intake
from custody.acts.quarantine import expire_quarantine, list_quarantine, open_held
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database.batches import Batch, intake_chunks
from custody.database.engine import transaction
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys import turning
from custody.keys.wrapping import INTAKE, QUARANTINE, day_name
from custody.seal import KeyMissingError, SealInvalidError

PEOPLE = 4
STRANGER = 40
YESTERDAY = NOW - timedelta(days=1)
DAYS = {kind: day_name(kind, TODAY) for kind in (INTAKE, QUARANTINE)}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How many rows of an installation open: of the intake area, and of the quarantine."""

    intake: int
    quarantine: int


def opening(custody: Custody) -> Opening:
    with transaction(custody.data) as connection:
        chunks = intake_chunks(connection)
    held = [row for row in list_quarantine(custody) if row.sealed is not None]
    return Opening(
        intake=sum(_opens(lambda at=at: _intake_rows(custody, *at)) for at in chunks),
        quarantine=sum(
            _opens(lambda r=row: len(open_held(custody, require_batch(custody, r.batch_id), [r])))
            for row in held
        ),
    )


def _intake_rows(custody: Custody, batch_id: object, chunk: int) -> int:
    with transaction(custody.data) as connection:
        return len(read_intake(custody, connection, batch_id, chunk))  # type: ignore[arg-type]


def _opens(read: Callable[[], int]) -> int:
    try:
        return read()
    except (KeyMissingError, SealInvalidError):
        return 0


@pytest.fixture
def waiting(site: Site, tmp_path: Path) -> Batch:
    """Return a batch that waits in the intake area, of a day whose batches all have rows held.

    People came the day before. Of two batches of transactions one is stored, with a stranger's row
    in quarantine; the other waits, with two rows in quarantine that contradict each other.
    """
    people = contracts_file(tmp_path / "people.csv", [contract(index) for index in range(PEOPLE)])
    stored = transactions_file(
        tmp_path / "stored.csv",
        [transaction_row(index, 0, SAME_QUARTER) for index in (0, 1, STRANGER)],
    )
    again = transaction_row(2, 1, SAME_QUARTER)
    sound = [transaction_row(index, 2, SAME_QUARTER) for index in (0, 3)]
    with site.opened(lambda: YESTERDAY) as custody:
        settle(custody, people)
    with site.opened() as custody:
        settle(custody, stored)
        later = transactions_file(
            tmp_path / "later.csv", [again, again | {"amount": "9.00"}, *sound]
        )
        return take_in(custody, later.source, later.path)


THEN = Opening(intake=2, quarantine=3)


@contextmanager
def robbed(server: EmbeddedPostgres, site: Site, folder: Path) -> Iterator[Callable[[], Opening]]:
    """Copy both databases; yield what tells how much of them opens with the keystore of now."""
    with copied(server, site, folder) as copy:
        with copy.opened() as then:
            assert opening(then) == THEN, "the control: with the keystore of then"

        def now() -> Opening:
            take_keystore(site, copy)
            with copy.opened() as custody:
                return opening(custody)

        yield now


def there(site: Site) -> set[str]:
    """Return for which kinds the keystore has a key of the day."""
    with site.opened() as custody:
        return {kind for kind, name in DAYS.items() if name in custody.keyring.keystore.names}


def turn(site: Site, days: int) -> None:
    with site.opened(lambda: NOW + timedelta(days=days)) as custody:
        turn_keys(custody, TESTER)
        verify_installation(custody, deep=True)


def test_once_a_days_batches_are_over_a_turn_ends_its_keys_and_no_copy_opens_them(
    site: Site, waiting: Batch, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    with robbed(postgres, site, tmp_path) as opens_now:
        turn(site, 1)
        assert there(site) == {INTAKE, QUARANTINE}, "something waits and something is held"
        with site.opened() as custody:
            put_away(custody, waiting)
            assert opening(custody) == Opening(intake=0, quarantine=THEN.quarantine)
        turn(site, 0)
        assert there(site) == {INTAKE, QUARANTINE}, "the day lasts"
        assert opens_now() == THEN
        turn(site, 1)
        assert there(site) == {QUARANTINE}
        assert opens_now() == Opening(intake=0, quarantine=THEN.quarantine)
        kept = expire(site, 30)
        turn(site, 30)
        assert (kept, there(site)) == (0, {QUARANTINE}), "it is held for thirty days"
        gone = expire(site, 31)
        assert gone == THEN.quarantine
        assert opens_now() == Opening(intake=0, quarantine=gone), "not final before the turn"
        turn(site, 31)
        assert there(site) == set()
        assert opens_now() == Opening(intake=0, quarantine=0)
        turn(site, 32)
        assert opens_now() == Opening(intake=0, quarantine=0)


def expire(site: Site, days: int) -> int:
    with site.opened(lambda: NOW + timedelta(days=days)) as custody:
        return expire_quarantine(custody, TESTER)


def test_a_careless_turn_leaves_the_keys_of_days_and_a_copy_opens_all(
    site: Site,
    waiting: Batch,
    tmp_path: Path,
    postgres: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The naive twin: rows and keys of batches are deleted, and that is all."""
    monkeypatch.setattr(turning, "_is_of_a_past_day", lambda *_: False)
    with robbed(postgres, site, tmp_path) as opens_now:
        with site.opened() as custody:
            put_away(custody, waiting)
        assert expire(site, 31) == THEN.quarantine
        turn(site, 31)
        with site.opened() as custody:
            assert opening(custody) == Opening(intake=0, quarantine=0)
        assert opens_now() == THEN


def test_a_batch_of_the_day_without_refused_rows_keeps_nobodys_rows_openable(
    site: Site, waiting: Batch, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    with site.opened() as custody:
        sound = transactions_file(tmp_path / "sound.csv", [transaction_row(3, 5, SAME_QUARTER)])
        settle(custody, sound)
    with robbed(postgres, site, tmp_path) as opens_now:
        with site.opened() as custody:
            put_away(custody, waiting)
        assert expire(site, 31) == THEN.quarantine
        turn(site, 31)
        assert opens_now() == Opening(intake=0, quarantine=0)


def test_the_key_of_a_batch_that_never_came_to_be_goes_too(site: Site, waiting: Batch) -> None:
    """Opening a batch makes its key first; killed then, it leaves a key that is nobody's."""
    with site.opened() as custody:
        put_away(custody, waiting)
        custody.keyring.batches.key(uuid4(), QUARANTINE, TODAY)
    expire(site, 31)
    turn(site, 31)
    assert there(site) == set()
