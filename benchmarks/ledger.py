"""The ledger: durable appends beside one locked head, what entries cost, verification and proofs.

The peer is the ledger's own first form: one row that every writer locks, a hash chain, the same
columns. Both are called by the same clients on the same server, in turns, each append a transaction
that is on the disk before the next begins.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from sqlalchemy import Connection, text

from benchmarks import legacy
from benchmarks.ground import ACTOR, Ground, ground, open_again, seal_customers
from benchmarks.measure import Meter
from benchmarks.table import Row
from custody.acts import batches, recording
from custody.acts.proving import prove_entry
from custody.acts.reveal import reveal
from custody.acts.setup import Places
from custody.acts.taking import take_chunks
from custody.acts.verify import verify_installation
from custody.database.engine import transaction
from custody.database.records import select_records

WRITERS: Final = 8
_SECONDS: Final = 3.0
_PLACE_SECONDS: Final = 0.5
_ROWS: Final = 20_000
_READS: Final = 400
_PROOFS: Final = 200
_SIZES: Final = (10_000, 100_000, 1_000_000)
_VERIFY_SECONDS: Final = 60
_VERIFY_MEGABYTES: Final = 500
_PROOF_MILLISECONDS: Final = 50
_TIMES: Final = 2.0
_LEAST: Final = 0.9
_MOST_INGEST: Final = 0.10
_MOST_READ: Final = 1.25
_BODY: Final = (
    '{"actor":"bench","facts":{"batch":"batch_01kb3m6q7t8v9wxyz0abcdefgh","chunk":7,"n":%s},'
    '"how":"os-user","policy":"' + "0" * 64 + '","run":""}'
)
_PEER: Final = """
CREATE SCHEMA peer;
CREATE TABLE peer.entries (seq bigint PRIMARY KEY, at timestamptz NOT NULL, event text NOT NULL,
    body text NOT NULL, previous bytea NOT NULL, hash bytea NOT NULL);
CREATE TABLE peer.head (seq bigint NOT NULL, hash bytea NOT NULL);
INSERT INTO peer.head VALUES (0, decode(repeat('00', 32), 'hex'));
CREATE TABLE peer.log (at timestamptz NOT NULL, event text NOT NULL, body text NOT NULL);
CREATE FUNCTION peer.append(new_event text, new_body text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = peer, pg_temp AS $$
DECLARE
    last record;
    now_at timestamptz;
    new_hash bytea;
BEGIN
    SELECT h.seq, h.hash INTO STRICT last FROM peer.head h FOR UPDATE;
    now_at := pg_catalog.clock_timestamp();
    new_hash := pg_catalog.sha256(last.hash || pg_catalog.convert_to((last.seq + 1) || '|'
        || (extract(epoch FROM now_at) * 1000000)::bigint || '|' || new_event || '|' || new_body,
        'UTF8'));
    INSERT INTO peer.entries VALUES
        (last.seq + 1, now_at, new_event, new_body, last.hash, new_hash);
    UPDATE peer.head SET seq = last.seq + 1, hash = new_hash;
    RETURN last.seq + 1;
END $$;
GRANT USAGE ON SCHEMA peer TO custody_app;
GRANT INSERT ON peer.log TO custody_app;
"""
_FILL: Final = (
    "INSERT INTO ledger.entries SELECT nextval('ledger.order_of_entries'), s.stream, s.last + n,"
    " clock_timestamp(), 'record:data:stored', format(%s, n) FROM (SELECT stream,"
    " (SELECT max(number) FROM ledger.entries e WHERE e.stream = s.stream) AS last"
    " FROM ledger.streams s ORDER BY 1 LIMIT 1) s, generate_series(1, %s::int) n"
)
_LOG: Final = text("INSERT INTO peer.log VALUES (clock_timestamp(), :event, :body)")


def ledger(repeat: int) -> list[Row]:
    """Measure everything about the ledger so many times."""
    with ground() as made:
        with psycopg.connect(made.owner_url) as owner:
            owner.execute(_PEER)
        return [*appends(made, repeat), *entries(made, repeat), *growth(made, repeat)]


def appends(made: Ground, repeat: int) -> list[Row]:
    """Measure appends of one and of eight writers, in turns with the peer."""
    rates: dict[str, list[float]] = {"peer": [], "one": [], "many": []}
    for _ in range(repeat):
        rates["peer"].append(_rate(made, "peer", 1))
        rates["one"].append(_rate(made, "ledger", 1))
        rates["many"].append(_rate(made, "ledger", WRITERS))
    peer = median(rates["peer"])
    ranges = {name: f"{min(found):,.0f} to {max(found):,.0f}" for name, found in rates.items()}
    return [
        Row(name="appends with one locked head", value=peer, unit="/s", detail=ranges["peer"]),
        Row(
            name="appends of one writer ÷ the same",
            value=median(one / by for one, by in zip(rates["one"], rates["peer"], strict=True)),
            unit="×",
            target=_LEAST,
            detail=f"{ranges['one']} a second",
        ),
        Row(
            name=f"appends of {WRITERS} writers ÷ the same",
            value=median(one / by for one, by in zip(rates["many"], rates["peer"], strict=True)),
            unit="×",
            target=_TIMES,
            detail=f"{ranges['many']} a second",
        ),
    ]


def entries(made: Ground, repeat: int) -> list[Row]:
    """Measure what entries add to ingest, and to a granted read beside a plain log."""
    with_entries, without = [], []
    legacy.give_consents(made, 0, _ROWS * (1 + 2 * repeat))
    with tempfile.TemporaryDirectory(prefix="cus-bench-") as folder:
        files = [Path(folder) / f"{turn}.csv" for turn in range(1 + 2 * repeat)]
        for turn, path in enumerate(files):
            legacy.write_customers(made, path, turn * _ROWS, _ROWS)
        _ingested(made, files[0])  # what a process does once is not what is compared
        for first, second in zip(files[1::2], files[2::2], strict=True):
            with_entries.append(_ingested(made, first))
            with _appending(lambda *_: 0):
                without.append(_ingested(made, second))
    return [
        Row(
            name="what entries add to ingest",
            value=median(one / by - 1 for one, by in zip(with_entries, without, strict=True)),
            unit="of its CPU",
            target=_MOST_INGEST,
            at_most=True,
            detail=f"{_ROWS:,} rows; {median(with_entries):.3g} and {median(without):.3g} s",
        ),
        _read_row(made, repeat),
    ]


def growth(made: Ground, repeat: int) -> list[Row]:
    """Measure verification and proofs on a ledger that grows to a million entries."""
    verified, proved, peaks = [], [], []
    for size in _SIZES:
        _fill(made, size)
        made.settle()
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            runs = [pool.submit(_verify, made.places).result() for _ in range(repeat)]
        verified.append(median(seconds for seconds, _ in runs))
        peaks.append(max(megabytes for _, megabytes in runs))
        proved.append(_proofs(made, size))
    sizes = ", ".join(f"{size:,}" for size in _SIZES)
    return [
        Row(
            name=f"custody verify of {_SIZES[-1]:,} entries, wall",
            value=verified[-1],
            unit="s",
            target=_VERIFY_SECONDS,
            at_most=True,
            detail=f"{', '.join(f'{one:.3g}' for one in verified)} s of {sizes}",
        ),
        Row(
            name="peak memory of the same",
            value=peaks[-1],
            unit="MB",
            target=_VERIFY_MEGABYTES,
            at_most=True,
            detail=", ".join(f"{one:.0f}" for one in peaks),
        ),
        Row(
            name=f"an inclusion proof from {_SIZES[-1]:,} entries, wall",
            value=median(proved[-1]),
            unit="ms",
            target=_PROOF_MILLISECONDS,
            at_most=True,
            detail=f"{', '.join(f'{median(one):.3g}' for one in proved)} ms of {sizes};"
            f" {max(proved[-1]):.3g} at most",
        ),
    ]


def _rate(made: Ground, schema: str, writers: int) -> float:
    """Return how many durable appends a second so many writers make together.

    Each is a process. Beside them one gives entries their places, as ``custody up`` does.
    """
    context = get_context("spawn")
    begin = context.Barrier(writers + 1)
    with ProcessPoolExecutor(writers + 1, context, _share, (begin,)) as pool:
        runs = [pool.submit(_write, made.owner_url, schema) for _ in range(writers)]
        pool.submit(_place, made.owner_url)
        return sum(run.result() for run in runs) / _SECONDS


_barrier: list[Barrier] = []


def _share(begin: Barrier) -> None:
    _barrier.append(begin)


def _write(url: str, schema: str) -> int:
    """Append for some seconds, and return how often."""
    count, statement = 0, f"SELECT {schema}.append(%s, %s)"
    with psycopg.connect(url, autocommit=True) as connection:
        _barrier[0].wait()
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            body = _BODY.replace("%s", str(count))
            connection.execute(statement, ("record:data:stored", body), prepare=True)
            count += 1
    return count


def _place(url: str) -> None:
    """Give entries their places twice a second, for as long as others write."""
    with psycopg.connect(url, autocommit=True) as connection:
        _barrier[0].wait()
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            connection.execute("SELECT ledger.sequence(1000)")
            time.sleep(_PLACE_SECONDS)


def _ingested(made: Ground, path: Path) -> float:
    """Return the CPU seconds of taking a file in."""

    def take() -> None:
        batch = batches.open_batch(made.custody, ACTOR, legacy.SOURCE, str(path))
        take_chunks(made.custody, ACTOR, batch, range(batch.chunks), str(path))
        batches.close_batch(made.custody, ACTOR, batch.id)

    return made.meter.measure(take).cpu


def _read_row(made: Ground, repeat: int) -> Row:
    """Return the line on reading one record, by turns with an entry and with a line in a log."""
    seal_customers(made.custody, _READS)
    with transaction(made.custody.data) as connection:
        known = [record.id for record in select_records(connection, "customers")][:_READS]

    def read() -> None:
        for record in known:
            reveal(
                made.custody,
                ACTOR,
                record_ids=[record],
                fields=frozenset({"name"}),
                event="bench:records:read",
                facts={},
            )

    def log(connection: Connection, event: str, body: bytes, parts: bytes | None = None) -> int:  # noqa: ARG001 - as it is called
        connection.execute(_LOG, {"event": event, "body": body.decode()})
        return 0

    read()
    ratios, walls = [], []
    for _ in range(max(repeat, 3)):
        entry = made.meter.measure(read).wall
        with _appending(log):
            plain = made.meter.measure(read).wall
        ratios.append(entry / plain)
        walls.append((entry, plain))
    entry, plain = (median(one) / len(known) * 1000 for one in zip(*walls, strict=True))
    return Row(
        name="a granted read with its entry ÷ with a plain INSERT",
        value=median(ratios),
        unit="×",
        target=_MOST_READ,
        at_most=True,
        detail=f"{entry:.3g} and {plain:.3g} ms; {min(ratios):.3g} to {max(ratios):.3g}",
    )


@contextmanager
def _appending(append: Callable[..., int]) -> Iterator[None]:
    """Let acts append otherwise for a while."""
    kept = recording.append_entry
    recording.append_entry = append
    try:
        yield
    finally:
        recording.append_entry = kept


def _fill(made: Ground, size: int) -> None:
    """Let the ledger grow to a size, as its owner."""
    with psycopg.connect(made.owner_url) as owner:
        there = owner.execute("SELECT count(*) FROM ledger.entries").fetchone()
        owner.execute(_FILL, (_BODY, max(size - (there[0] if there else 0), 0)))
        while owner.execute("SELECT ledger.sequence(50000)").fetchone() != (0,):
            owner.commit()


def _verify(places: Places) -> tuple[float, float]:
    """Return the seconds a verification takes, and the megabytes the process held at most."""
    with open_again(places) as custody:
        cost = Meter().measure(partial(verify_installation, custody))
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return cost.wall, peak / 1024


def _proofs(made: Ground, size: int) -> Sequence[float]:
    """Return the milliseconds of proving entries drawn by chance."""
    chance = random.Random(size)  # noqa: S311 - which entries are proved is no secret
    with psycopg.connect(made.owner_url) as owner:
        drawn = [chance.randrange(size) for _ in range(_PROOFS)]
        found = owner.execute("SELECT seq FROM ledger.leaves WHERE place = ANY(%s)", (drawn,))
        numbers = [row[0] for row in found]
    times = []
    for number in numbers:
        began = time.perf_counter()
        prove_entry(made.custody, number).verify()
        times.append((time.perf_counter() - began) * 1000)
    return times
