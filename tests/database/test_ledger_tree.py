"""The ledger's tree in the database: what is hashed, who waits for whom, what a proof takes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import psycopg
import pytest
from own_databases import Databases
from sqlalchemy import Connection, Engine, text

from custody.canonical import canonical
from custody.database.engine import DatabaseError, make_engine, transaction
from custody.database.ledger import append_entry, read_entries
from custody.database.tree import (
    place_of,
    read_as_one,
    read_leaves,
    roots_of,
    sequence,
    streams_in_tree,
    tree_head,
    waiting,
)
from custody.ledger import KEPT_SIZES, Walk, entry_bytes, walk_tree
from custody.merkle import (
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)

EVENT = "record:data:stored"
WRITERS = 8
APPENDS = 60


@pytest.fixture
def engine(databases: Databases) -> Iterator[Engine]:
    engine = make_engine(databases.app_url, pool_size=WRITERS)
    yield engine
    engine.dispose()


def body(n: int) -> bytes:
    facts = {"n": n, "名": "张"}
    return canonical({"actor": "", "facts": facts, "how": "os-user", "policy": "", "run": ""})


def append(engine: Engine, n: int) -> int:
    with transaction(engine) as connection:
        return append_entry(connection, EVENT, body(n))


def sequenced(engine: Engine) -> int:
    """Sequence until nothing is left, and return how many entries got their places."""
    placed = 0
    while True:
        with transaction(engine) as connection:
            more = sequence(connection)
        if not more:
            return placed
        placed += more


def walked(connection: Connection) -> Walk:
    """Walk the tree that the database has, and compare what it keeps of it."""
    head = tree_head(connection)
    walk = walk_tree(read_leaves(connection, head.size), ())
    assert walk.tree.head() == head
    assert walk.streams == {s: n for s, n in streams_in_tree(connection).items() if n}
    return walk


def test_a_leaf_is_the_hash_of_what_is_written_in_the_docstring(engine: Engine) -> None:
    append(engine, 1)
    assert sequenced(engine) == 1
    with transaction(engine) as connection:
        (entry,) = read_entries(connection)
        (leaf,) = read_leaves(connection, 1)
    micros = int(entry.at.timestamp()) * 1_000_000 + entry.at.microsecond
    by_hand = (
        f'{{"at":{micros},"body":{{"actor":"","facts":{{"n":1,"名":"张"}},"how":"os-user",'
        f'"policy":"","run":""}},"event":"record:data:stored","number":1,"seq":1,"stream":1,"v":1}}'
    )
    assert entry_bytes(entry) == by_hand.encode()
    assert leaf.hash == leaf_hash(by_hand.encode())


def test_writers_at_the_same_time_have_streams_without_gaps_and_wait_for_nobody(
    engine: Engine,
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        numbers = list(pool.map(lambda n: append(engine, n), range(WRITERS * APPENDS)))
    assert len(set(numbers)) == WRITERS * APPENDS
    sequenced(engine)
    with transaction(engine) as connection:
        entries = list(read_entries(connection))
        walk = walked(connection)
        assert waiting(connection).entries == 0
    assert walk.tree.size == len(entries) == WRITERS * APPENDS
    by_stream = sorted(entries, key=lambda one: (one.stream, one.number))
    for stream, ones in groupby(by_stream, key=lambda one: one.stream):
        assert [one.number for one in ones] == list(range(1, walk.streams[stream] + 1))


def test_an_act_that_is_still_open_keeps_no_other_from_writing(engine: Engine) -> None:
    """The careless twin, one locked head, waits for the act until its patience is over."""
    with transaction(engine) as slow:
        append_entry(slow, EVENT, body(1))
        for n in range(2, 40):
            append(engine, n)  # would wait for ever
        sequenced(engine)
        with transaction(engine) as connection:
            assert tree_head(connection).size == 38
            assert walked(connection).streams == {2: 38}
    assert sequenced(engine) == 1


def test_one_locked_head_makes_writers_wait(databases: Databases) -> None:
    with psycopg.connect(databases.owner_url.replace("+psycopg", "")) as owner:
        owner.execute("CREATE TABLE one_head (seq bigint); INSERT INTO one_head VALUES (0)")
        owner.commit()
        owner.execute("UPDATE one_head SET seq = seq + 1")
        with (
            psycopg.connect(databases.owner_url.replace("+psycopg", "")) as second,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            second.execute("SET lock_timeout = '200ms'; UPDATE one_head SET seq = seq + 1")


def test_an_act_that_does_not_happen_leaves_no_gap_in_its_stream(engine: Engine) -> None:
    append(engine, 1)
    with engine.connect() as connection:
        append_entry(connection, EVENT, body(2))
        connection.rollback()
    append(engine, 3)
    sequenced(engine)
    with transaction(engine) as connection:
        assert [(one.seq, one.number) for one in read_entries(connection)] == [(1, 1), (3, 2)]
        assert walked(connection).tree.size == 2


def test_several_entries_of_one_act_stand_in_its_stream_in_order(engine: Engine) -> None:
    with transaction(engine) as connection:
        for n in range(3):
            append_entry(connection, EVENT, body(n))
    with transaction(engine) as connection:
        assert [one.number for one in read_entries(connection)] == [1, 2, 3]


def test_a_single_writer_brings_the_tree_along_without_a_sequencer(engine: Engine) -> None:
    with transaction(engine) as connection:
        for n in range(1200):
            append_entry(connection, EVENT, body(n))
    with transaction(engine) as connection:
        assert waiting(connection).entries < 600
        assert walked(connection).tree.size > 600


def test_sequencers_at_the_same_time_give_each_entry_one_place(engine: Engine) -> None:
    for n in range(50):
        append(engine, n)
    with ThreadPoolExecutor(WRITERS) as pool:
        placed = list(pool.map(lambda _: sequenced(engine), range(WRITERS)))
    assert sum(placed) == 50
    with transaction(engine) as connection:
        assert walked(connection).tree.size == 50


def test_what_follows_a_commit_stands_behind_it(engine: Engine) -> None:
    """Whatever the streams: an act that began when another was committed comes later."""
    with transaction(engine) as slow:
        append_entry(slow, EVENT, body(1))
        first = append(engine, 2)  # in the second stream
    second = append(engine, 3)  # in the first again
    sequenced(engine)
    with transaction(engine) as connection:
        places = [place_of(connection, one) for one in (first, second)]
    assert places[0] is not None
    assert places[1] is not None
    assert places[0] < places[1]


@pytest.fixture
def grown(databases: Databases, engine: Engine) -> Engine:
    """Return a ledger of a size at which two levels of heads are kept, filled by its owner."""
    size = KEPT_SIZES[1] + KEPT_SIZES[0] * 3 + 17
    with psycopg.connect(databases.owner_url.replace("+psycopg", "")) as owner:
        owner.execute("INSERT INTO ledger.streams VALUES (1, 0)")
        owner.execute(
            "INSERT INTO ledger.entries SELECT nextval('ledger.order_of_entries'), 1, n, now(),"
            " 'record:data:stored', format('{\"n\":%%s}', n) FROM generate_series(1, %s::int) n",
            (size,),
        )
        owner.execute("SELECT ledger.sequence(%s)", (size,))
    return engine


def test_proofs_from_what_is_kept_hold_at_two_levels_of_heads(grown: Engine) -> None:
    with transaction(grown) as connection:
        head = tree_head(connection)
        leaves = {one.place: one for one in read_leaves(connection, head.size)}
        assert walked(connection).tree.kept.keys() == set(KEPT_SIZES)
        for index in (0, 1, 255, 256, 65_535, 65_536, head.size - 18, head.size - 1):
            path = roots_of(connection, inclusion_ranges(index, head.size))
            verify_inclusion(leaves[index].hash, index, head, path)
        for old in (1, 2, 255, 256, 257, 65_535, 65_536, 65_537, head.size - 1, head.size):
            path = roots_of(connection, consistency_ranges(old, head.size))
            begun = walk_tree((leaves[place] for place in range(old)), ()).tree.head()
            verify_consistency(begun, head, path)


def test_a_proof_reads_a_few_hundred_hashes_whatever_the_size(grown: Engine) -> None:
    with transaction(grown) as connection:
        head = tree_head(connection)
        before = _tuples_read(connection)
        roots_of(connection, inclusion_ranges(40_000, head.size))
        assert _tuples_read(connection) - before < 1_500


def _tuples_read(connection: Connection) -> int:
    return int(
        connection.execute(
            text(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
                " FROM pg_stat_xact_user_tables WHERE schemaname = 'ledger'"
            )
        ).scalar_one()
    )


def test_an_empty_tree(engine: Engine) -> None:
    with transaction(engine) as connection:
        assert tree_head(connection).root == merkle_root(())
        assert (waiting(connection).entries, waiting(connection).seconds) == (0, 0.0)


def test_a_verification_reads_all_as_of_one_moment(engine: Engine) -> None:
    append(engine, 1)
    sequenced(engine)
    with transaction(engine) as connection:
        read_as_one(connection)
        assert tree_head(connection).size == 1
        append(engine, 2)
        sequenced(engine)
        assert tree_head(connection).size == 1
    with transaction(engine) as connection:
        assert tree_head(connection).size == 2


@pytest.mark.parametrize(
    "event", ["", "one", "a:b:c:d", "A:b", 'a:b","x":"', "a:b\n", "a:b'"], ids=repr
)
def test_an_event_that_could_be_read_as_something_else_is_refused(
    engine: Engine, event: str
) -> None:
    with pytest.raises(DatabaseError), transaction(engine) as connection:
        append_entry(connection, event, body(1))
