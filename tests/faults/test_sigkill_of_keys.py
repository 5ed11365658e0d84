"""Processes killed at every step of what is done to keys, twice in a row: nothing is lost (T17).

Each operation is run once to its end, and so tells its steps. Then, from the same state, a process
is killed (SIGKILL) at each passing of each of them, a second one where it next comes to that step,
and a third runs to the end. In between and in the end everything opens as before. Of each operation
there is a careless twin, which comes to the same end unless it is killed.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from everything import values_of
from house import NOW, TESTER, ZONE, Site, copied, destroy, founded, plan_all
from racing import SAME_QUARTER, accept_all, settled_contracts
from resealing import fill_every_place, said_renewed, seals_under, under
from sqlalchemy import text
from story import customer_of, require_customer

from custody.acts import endings, references, rekey, retagging
from custody.acts.context import Actor, Custody
from custody.acts.coverage import coverage
from custody.acts.holds import add_hold
from custody.acts.keeping import rotate_root
from custody.acts.period_end import close_period, periods_to_end
from custody.acts.retagging import renew_tags, tag_standing
from custody.acts.sealing import OpenRecord
from custody.acts.turning import turn_keys
from custody.acts.verify import verify_installation
from custody.database import sealed
from custody.database.engine import transaction
from custody.database.periods import list_periods
from custody.database.sealed_places import PLACES
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys.entries import KEPT_TAG_ENTRIES, OTHER_ENTRIES, read_epoch_entry
from custody.keys.root import KeyFileProvider, RootUnavailableError
from custody.keys.turning import Turner
from custody.keys.wrapping import kek_name
from custody.record import RecordRow
from custody.seal import DataKey, SealInvalidError
from custody.steps import observed_by, reached
from custody.suites import SM4_GCM

PEOPLE = 4
ERASED, HELD = 0, 3
DIRTY = 3  # one bucket each of the reference, the contract and the transaction
PERIOD = "2026Q4"  # in which what the contracts of SAME_QUARTER brought falls due
LATER = datetime(2027, 2, 1, 12, tzinfo=ZONE)
Point = tuple[str, int]  # a step, and at which of its passings

REPLACED = {"replace:written", "replace:renamed"}
ROTATED = REPLACED | {
    "rotate:root-created",
    "rotate:keystore-written",
    "rotate:root-destroyed",
    "rotate:settled",
}
TURNED = ROTATED | {
    "key:turn:begun:before-commit",
    "turn:begun",
    "turn:keys-made",
    "turn:bucket-rewrapped",
    "turn:bucket-advanced",
    "turn:keys-destroyed",
    "key:turn:completed:before-commit",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Something that is done to keys.

    Attributes:
        prepare: Gives it work to do.
        run: Does it.
        unfinished: Says what is not as it is to be in the end.
        now: The instant it is done at.
        steps: Steps that it must reach, or the sweep proves too little.
        once: The points behind which, killed there, it is not gone through that step again.
    """

    prepare: Callable[[Custody], object]
    run: Callable[[Custody], object]
    unfinished: Callable[[Custody], list[str]]
    now: datetime = NOW
    steps: set[str]
    once: set[Point]


def not_true(**facts: bool) -> list[str]:
    """Return the names of the facts that are none."""
    return [name for name, is_so in facts.items() if not is_so]


def roots_of(custody: Custody) -> list[str]:
    """Return the lines of the key file: one root each."""
    key_file = custody.keyring.keystore._path.with_name("root.key")
    return key_file.read_text("ascii").splitlines()


def settled(custody: Custody) -> dict[str, bool]:
    """Return the facts that hold whenever no rotation is under way."""
    keystore = custody.keyring.keystore
    (root, *others) = roots_of(custody)
    is_its_own = root.startswith(f"{keystore.generation} ")
    return {"one_root_left": not others and is_its_own, "settled": not keystore.is_ending}


def last_said(custody: Custody, event: str) -> bool:
    """Whether the ledger's last word of the kind is that the operation has ended."""
    kind = event.rpartition(":")[0]
    query = text("SELECT event FROM ledger.entries WHERE event LIKE :kind ORDER BY seq DESC")
    with transaction(custody.data) as connection:
        return connection.execute(query, {"kind": f"{kind}:%"}).scalars().first() == event


def rotation_unfinished(custody: Custody) -> list[str]:
    generation = custody.keyring.keystore.generation
    said = last_said(custody, "key:root:rotated")
    return not_true(advanced=generation > 1, said=said, **settled(custody))


def erase_one(custody: Custody) -> None:
    """Leave deleted keys, and so dirty buckets, to a turn."""
    assert destroy(custody, plan_all(custody, require_customer(custody, ERASED))) is not None
    assert dirty(custody) == DIRTY


def dirty(custody: Custody) -> int:
    return sum(one.dirty for one in custody.keyring.count_buckets())


def turn_unfinished(custody: Custody) -> list[str]:
    turner = custody.keyring.turner
    with transaction(turner.engine) as connection:
        stale = turner._stale(connection, custody.today())
    said = last_said(custody, "key:turn:completed")
    clean = dirty(custody) == 0
    return not_true(clean=clean, old_keys_gone=not stale, said=said, **settled(custody))


def turn_all(custody: Custody) -> None:
    """Turn every bucket, and so wrap every key under another suite."""
    custody.keyring._suite = SM4_GCM
    turn_keys(custody, TESTER, everything=True)


def turn_of_all_unfinished(custody: Custody) -> list[str]:
    kinds = ("data", "batch", "consent")
    query = " UNION ".join(f"SELECT get_byte(wrapped, 1) AS suite FROM {one}_keys" for one in kinds)
    with transaction(custody.keyring.turner.engine) as connection:
        suites = set(connection.execute(text(query)).scalars())
    return not_true(under_the_suite=suites == {SM4_GCM.number}) + turn_unfinished(custody)


def hold_one(custody: Custody) -> None:
    """Leave a period one record, which is held, once what else is due was destroyed."""
    add_hold(custody, TESTER, require_customer(custody, HELD), "case 9")
    destroy(custody, plan_all(custody))


def end_unfinished(custody: Custody) -> list[str]:
    names = custody.keyring.keystore.names
    with transaction(custody.data) as connection:
        is_closed = list_periods(connection)[PERIOD] == "closed"
    return not_true(
        closed=is_closed,
        keks_gone=not [name for name in names if name.startswith(f"kek/{PERIOD}/")],
        keys_gone=not data_keys(custody, PERIOD, inside=True),
        said=periods_to_end(custody) == [],
        **settled(custody),
    )


def retag_unfinished(custody: Custody) -> list[str]:
    standing = tag_standing(custody)
    names = [name for name in custody.keyring.keystore.names if name.startswith("tag/")]
    return not_true(
        no_earlier_tag=standing.waiting == 0 and standing.epoch > 1,
        no_earlier_key=names == [f"tag/{standing.epoch}"],
        said=not standing.due and last_said(custody, "identity:tags:renewed"),
        **settled(custody),
    )


def rekey_all(custody: Custody) -> None:
    rekey.total(rekey.rekey(under(custody, SM4_GCM), TESTER, SM4_GCM))


def rekey_unfinished(custody: Custody) -> list[str]:
    found = coverage(under(custody, SM4_GCM))
    places = {line.level for line in found.lines}
    return not_true(
        whole=found.is_whole and found.seals > 0,
        every_place=set(PLACES) <= places,
        said=seals_under(custody, SM4_GCM) == said_renewed(custody, SM4_GCM) == found.seals,
    )


OPERATIONS = {
    "rotation": Operation(
        prepare=lambda _: None,
        run=lambda custody: rotate_root(custody, TESTER),
        unfinished=rotation_unfinished,
        steps=ROTATED
        | {"root:ending", "key:root:ending:before-commit", "key:root:rotated:before-commit"},
        once=set(),
    ),
    "turn": Operation(
        prepare=erase_one,
        run=lambda custody: turn_keys(custody, TESTER),
        unfinished=turn_unfinished,
        steps=TURNED,
        once={("turn:bucket-advanced", DIRTY), ("replace:renamed", 5), ("rotate:settled", 1)},
    ),
    "turn of all": Operation(
        prepare=erase_one,
        run=turn_all,
        unfinished=turn_of_all_unfinished,
        steps=TURNED | {"turn:batch-keys-wrapped", "turn:consent-keys-wrapped"},
        once=set(),
    ),
    "period end": Operation(
        prepare=hold_one,
        run=lambda custody: close_period(custody, TESTER, PERIOD),
        unfinished=end_unfinished,
        now=LATER,
        steps=ROTATED
        | {
            "period:end:begun:before-commit", "period:closing", "period:moves-decided",
            "endings:keys-retired", "endings:survivors-resealed", "endings:keys-deleted",
            "key:data:deleted:before-commit", "endings:struck-off", "period:moved-on",
            "period:data:ended:before-commit", "period:dropped", "period:buckets-closed",
            "turn:keys-destroyed", "period:keys-deleted", "period:keys:destroyed:before-commit",
        },
        # Nothing is left to move, to drop, to rotate.
        once={
            ("endings:survivors-resealed", 1), ("endings:keys-deleted", 1),
            ("key:data:deleted:before-commit", 1), ("endings:struck-off", 1),
            ("period:moved-on", 1), ("period:dropped", 1),
            ("replace:renamed", 5), ("rotate:settled", 1),
        },
    ),
    "retag": Operation(
        prepare=lambda _: None,
        run=lambda custody: renew_tags(custody, TESTER),
        unfinished=retag_unfinished,
        steps=ROTATED
        | {
            "retag:key-made", "identity:tags:begun:before-commit", "retag:begun",
            "references:page-done", "retag:records-tagged", "retag:key-destroyed",
            "identity:tags:renewed:before-commit",
        },
        once={
            ("retag:begun", 1), ("references:page-done", 2), ("retag:records-tagged", 3),
            ("replace:renamed", 5), ("rotate:settled", 1),
        },
    ),
    "rekey": Operation(
        prepare=lambda _: None,
        run=rekey_all,
        unfinished=rekey_unfinished,
        steps={
            "record:seals:renewed:before-commit", "rekey:chunk-sealed", "rekey:page-read",
            "place:seals:renewed:before-commit", "references:page-done",
        },
        once={("rekey:chunk-sealed", 2), ("references:page-done", 2)},
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What an installation has, and may not lose.

    Attributes:
        values: Of every record, opened.
        people: Who is found by each number.
        keys: The data keys outside the period that ends.
    """

    values: Mapping[UUID, object]
    people: Sequence[UUID | None]
    keys: frozenset[UUID]

    def lost(self, later: "Holding") -> list[str]:
        """Return what a later holding of the same installation has not."""
        return not_true(
            values=self.values == later.values,
            people=self.people == later.people,
            keys=self.keys <= later.keys,
        )


def holding(custody: Custody) -> Holding:
    """Open everything and return what there is.

    Raises:
        SealInvalidError: A key or a seal does not open, or a key is missing.
        RootUnavailableError: An entry of the keystore is missing, or does not open.
    """
    verify_installation(custody, deep=True)
    for name in (*KEPT_TAG_ENTRIES, *OTHER_ENTRIES):
        custody.keyring.keystore.secret(name)
    return Holding(
        values=values_of(custody),
        people=[customer_of(custody, index) for index in range(PEOPLE)],
        keys=data_keys(custody, PERIOD, inside=False),
    )


def data_keys(custody: Custody, period: str, *, inside: bool) -> frozenset[UUID]:
    """Return the data keys in a period, or outside."""
    query = text("SELECT key_id FROM data_keys WHERE (period = :period) = :inside")
    with transaction(custody.keyring.turner.engine) as connection:
        rows = connection.execute(query, {"period": period, "inside": inside})
        return frozenset(rows.scalars())


def exit_code(site: Site, operation: Operation, point: Point | None = None) -> int:
    """Run an operation in a process that is killed at a point, and return how it ended."""
    child = os.fork()
    if child == 0:
        _run(site, operation, point)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _run(site: Site, operation: Operation, point: Point | None) -> None:
    passings, code = Counter[str](), 1

    def kill(step: str) -> None:
        passings[step] += 1
        if (step, passings[step]) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with site.opened(lambda: operation.now) as custody, observed_by(kill):
            operation.run(custody)
        code = 0
    finally:
        os._exit(code)


@dataclass
class Sweep:
    """What came of kills: how many there were, what was lost, which step was not reached again."""

    kills: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    once: set[Point] = field(default_factory=set)


@contextmanager
def prepared(server: EmbeddedPostgres, base: Site, folder: Path, what: Operation) -> Iterator[Site]:
    """Copy an installation and give the operation work to do in it."""
    with copied(server, base, folder) as ready:
        with ready.opened(lambda: what.now) as custody:
            what.prepare(custody)
        yield ready


def had(site: Site, operation: Operation) -> Holding:
    """Return what an installation has before the operation, which is not done yet."""
    with site.opened(lambda: operation.now) as custody:
        assert operation.unfinished(custody) != []
        return holding(custody)


def missing(site: Site, operation: Operation, before: Holding) -> list[str]:
    """Return what is lost by now."""
    try:
        with site.opened(lambda: operation.now) as custody:
            return before.lost(holding(custody))
    except (SealInvalidError, RootUnavailableError) as error:
        return [repr(error)]


def told(server: EmbeddedPostgres, ready: Site, folder: Path, operation: Operation) -> list[Point]:
    """Run an operation without interruption, and return the points it passes."""
    passings, points = Counter[str](), list[Point]()

    def note(step: str) -> None:
        passings[step] += 1
        points.append((step, passings[step]))

    before = had(ready, operation)
    with copied(server, ready, folder) as site:
        with site.opened(lambda: operation.now) as custody, observed_by(note):
            operation.run(custody)
        assert missing(site, operation, before) == []
        with site.opened(lambda: operation.now) as custody:
            assert operation.unfinished(custody) == []
    return points


def sweep(
    server: EmbeddedPostgres,
    ready: Site,
    folder: Path,
    operation: Operation,
    points: Sequence[Point],
) -> Sweep:
    """Kill two processes at each of the points, one after the other, and let a third finish."""
    before, came_to = had(ready, operation), Sweep()
    for point in points:
        with copied(server, ready, folder) as site:
            lost = _killed_twice(site, operation, point, before, came_to)
        if lost:
            came_to.lost[f"{point[0]}, passing {point[1]}"] = lost
    return came_to


def _killed_twice(
    site: Site, operation: Operation, point: Point, before: Holding, came_to: Sweep
) -> list[str]:
    assert exit_code(site, operation, point) == -signal.SIGKILL
    came_to.kills += 1
    lost = missing(site, operation, before)
    again = exit_code(site, operation, (point[0], 1))  # the first that it now comes to
    if again == -signal.SIGKILL:
        came_to.kills += 1
        lost += missing(site, operation, before)
    elif again == 0:
        came_to.once.add(point)
    if exit_code(site, operation) != 0:
        return [*lost, "it does not come to its end"]
    with site.opened(lambda: operation.now) as custody:
        return lost + missing(site, operation, before) + operation.unfinished(custody)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Let a few customers be several chunks and pages, whose files pass the quality gate."""
    with pytest.MonkeyPatch.context() as patch:
        accept_all(patch)
        patch.setattr(rekey, "CHUNK_RECORDS", 5)
        patch.setattr(references, "PAGE", 3)
        patch.setattr(retagging, "PAGE", 3)
        yield


@pytest.fixture(scope="module")
def base(_templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return an installation of a few customers, with seals in every place."""
    folder = tmp_path_factory.mktemp("keys")
    with founded(_templates, folder) as site:
        with site.opened() as custody:
            settled_contracts(custody, folder, PEOPLE, SAME_QUARTER)
            fill_every_place(custody, folder)
        yield site


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_step_twice_in_a_row_nothing_is_lost(
    base: Site, postgres: EmbeddedPostgres, tmp_path: Path, name: str
) -> None:
    operation = OPERATIONS[name]
    with prepared(postgres, base, tmp_path, operation) as ready:
        points = told(postgres, ready, tmp_path, operation)
        assert operation.steps - {step for step, _ in points} == set()
        if name == "turn of all":  # whose dozens of buckets turn as the dirty ones do
            points = [point for point in points if point[0] not in TURNED]
        came_to = sweep(postgres, ready, tmp_path, operation, points)
    assert came_to.lost == {}
    assert came_to.once == operation.once
    assert came_to.kills == 2 * len(points) - len(operation.once)


def destroy_the_old_root_first(patch: pytest.MonkeyPatch) -> None:
    """Destroy a root as soon as the next is made, before the keystore is wrapped under that."""
    create = KeyFileProvider.create

    def careless(provider: KeyFileProvider, installation: bytes, generation: int) -> object:
        made = create(provider, installation, generation)
        provider.destroy({"generation": generation - 1})
        return made

    patch.setattr(KeyFileProvider, "create", careless)


def destroy_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Destroy a bucket's old key once what it wrapped is wrapped anew, before that is committed."""
    wrap_anew = Turner._rewrapped

    def careless(
        turner: Turner, keys: object, period: str, place: int, generation: int
    ) -> list[bytes]:
        wrapped = wrap_anew(turner, keys, period, place, generation)  # type: ignore[arg-type]
        turner.keystore.rotate([kek_name(period, place, generation)])
        return wrapped

    patch.setattr(Turner, "_rewrapped", careless)


def delete_what_is_held_in_memory(patch: pytest.MonkeyPatch) -> None:
    """Delete the key of what moves on once that is opened, before it is sealed again."""
    seal_again = endings._sealed_again

    def careless(
        custody: Custody, opened: OpenRecord, fresh: dict[tuple[UUID, str], DataKey]
    ) -> RecordRow:
        custody.keyring.delete_retired([opened.row.key_id], custody.now())
        reached("endings:keys-deleted")
        return seal_again(custody, opened, fresh)

    patch.setattr(endings, "_sealed_again", careless)


def end_the_epoch_too_early(patch: pytest.MonkeyPatch) -> None:
    """Destroy the key of the old tags once references have new ones, before records do."""
    renew_records = retagging._Renewal.records

    def careless(renewal: retagging._Renewal) -> Iterator[int]:
        now = renewal.epoch
        renewal.custody.keyring.destroy_entries(lambda name: (read_epoch_entry(name) or now) < now)
        return renew_records(renewal)

    patch.setattr(retagging._Renewal, "records", careless)


def go_on_behind_a_bookmark(patch: pytest.MonkeyPatch) -> None:
    """Remember how far one has come in a file, instead of reading it from the seals."""
    seal_chunk = rekey.rekey_chunk

    def careless(custody: Custody, actor: Actor, after: UUID, most: int, **how: bool) -> object:
        bookmark = custody.keyring.keystore._path.with_name("bookmark")
        if bookmark.exists():
            after = UUID(bookmark.read_text())
        with transaction(custody.data) as connection:
            concerned = sealed.customers_to_reseal(connection, custody.suite, after, most)
        if concerned:
            bookmark.write_text(str(concerned[-1]))
        return seal_chunk(custody, actor, after, most, **how)

    patch.setattr(rekey, "rekey_chunk", careless)


TWINS = [
    ("rotation", destroy_the_old_root_first, ("rotate:root-created", 1)),
    ("turn", destroy_before_the_commit, ("turn:bucket-rewrapped", 1)),
    ("period end", delete_what_is_held_in_memory, ("endings:keys-deleted", 1)),
    ("retag", end_the_epoch_too_early, ("retag:records-tagged", 1)),
    ("rekey", go_on_behind_a_bookmark, ("record:seals:renewed:before-commit", 1)),
]


@pytest.mark.parametrize(("name", "grow_careless", "point"), TWINS)
def test_a_careless_twin_loses_when_it_is_killed(  # noqa: PLR0913 - fixtures and what is tried
    base: Site,
    postgres: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    grow_careless: Callable[[pytest.MonkeyPatch], None],
    point: Point,
) -> None:
    """The naive twins; each of them comes to its end, and loses nothing, unless it is killed."""
    operation = OPERATIONS[name]
    grow_careless(monkeypatch)
    with prepared(postgres, base, tmp_path, operation) as ready:
        assert point in told(postgres, ready, tmp_path, operation)
        assert sweep(postgres, ready, tmp_path, operation, [point]).lost != {}


def test_a_step_that_vanishes_is_noticed(
    base: Site, postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: an operation that does not say a step any more passes too few of them."""
    operation = OPERATIONS["retag"]
    monkeypatch.setattr(retagging, "reached", lambda _: None)
    with prepared(postgres, base, tmp_path, operation) as ready:
        points = told(postgres, ready, tmp_path, operation)
    assert operation.steps - {step for step, _ in points} == {
        "retag:key-made",
        "retag:begun",
        "retag:records-tagged",
        "retag:key-destroyed",
    }
