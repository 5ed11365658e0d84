"""First loads: a million customers from a file to sealed records, beside what others do with them.

Each round has an installation of its own, in which every customer has consented and nobody has a
record yet. Loading is done by spawned workers, warm before the clock starts, whose CPU is added to
the server's. A row's cost is CPU of client and server; plaintext COPY into a table with a primary
key and two indexes, on the same server in the same round, is the measure of all of them.
"""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

from benchmarks import floor, legacy, peers
from benchmarks.ground import ACTOR, Ground, ground
from benchmarks.measure import Cost
from benchmarks.one_row import one_row
from benchmarks.table import Row
from benchmarks.workers import Load, load
from custody.acts import batches, search, store
from custody.acts.certify import certify_destruction, verify_absence
from custody.acts.destroy import claim_plan, erase_chunk
from custody.acts.planning import Scope, plan_destruction
from custody.acts.reveal import reveal
from custody.database.engine import transaction
from custody.database.records import select_records

MEASURED_PLAIN: Final = 10.6  # µs a row, measured where the targets were set
_MICRO: Final = 1_000_000
# Rows that one, two and four workers load each, besides the first load: a tenth of it, but enough
# that what a process does once (suites, statements, plans) is not what is compared.
_SHARED: Final = 20_000
_SHARED_PART: Final = 10
_SHARED_CHUNK: Final = 5_000
_PEERS: Final = 20_000
_CALLED: Final = 20_000
_WORKERS: Final = (1, 2, 4)
_FLOORS: Final = 3
_SLOW_PEERS: Final = 2_000
_PURGED: Final = 500
_READS: Final = 200
_TOGETHER: Final = 20


@dataclass(slots=True)
class _Found:
    """What was measured, by what it is of: one figure a round."""

    costs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.costs.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        return median(self.costs[name])

    def range(self, name: str) -> str:
        found = self.costs[name]
        return f"{min(found):.3g} to {max(found):.3g}"

    def __contains__(self, name: str) -> bool:
        return name in self.costs


def loads(customers: int, repeat: int) -> list[Row]:
    """Measure first loads, and what comes after them, so many times."""
    found = _Found()
    for turn in range(repeat):
        with ground() as made, tempfile.TemporaryDirectory(prefix="cus-bench-") as folder:
            _round(made, Path(folder), customers, found, last=turn == repeat - 1)
    return [*_load_rows(found), *one_row(repeat), *_worker_rows(found), *_later_rows(found)]


def later(repeat: int) -> list[Row]:
    """Measure reading and purging alone, on a few customers, so many times."""
    found = _Found()
    for _ in range(repeat):
        with ground() as made, tempfile.TemporaryDirectory(prefix="cus-bench-") as folder:
            legacy.give_consents(made, 0, _PURGED)
            _read_and_purge(made, Path(folder), 0, found)
    return _later_rows(found)


def _round(made: Ground, folder: Path, customers: int, found: _Found, *, last: bool) -> None:
    found.add("plain", _per_row(peers.plain_copy(made, customers), customers))
    shared = max(_SHARED, customers // _SHARED_PART)
    known = customers + len(_WORKERS) * shared + _PURGED
    legacy.give_consents(made, 0, known)
    made.settle()
    _, ingested, stored = _load(made, folder, 0, customers, 1)
    for name, one in (("ingest", ingested), ("store", stored)):
        found.add(name, _cpu(one, customers))
        found.add(f"{name} client", one.client / customers * _MICRO)
        found.add(f"{name} wal", one.wal / customers)
        found.add(f"{name} rate", customers / one.wall)
    found.add("memory", max(ingested.memory, stored.memory))
    made.settle()
    # A floor is the least that was seen: what the server does at its leisure is not part of it.
    found.add("bytes", min(_per_row(floor.copied_back(made), customers) for _ in range(_FLOORS)))
    found.add("calls", min(_per_row(floor.called(_CALLED), _CALLED) for _ in range(_FLOORS)))
    first = customers
    found.add("shared", shared)
    made.settle()
    for workers in _WORKERS:
        smaller = replace(made, custody=replace(made.custody, chunk_rows=_SHARED_CHUNK))
        _, ingested, stored = _load(smaller, folder, first, shared, workers)
        first += shared
        found.add(f"wall {workers}", ingested.wall + stored.wall)
        found.add(f"cpu {workers}", _cpu(ingested, shared) + _cpu(stored, shared))
        found.add("memory", max(ingested.memory, stored.memory))
    found.add("utils", _per_row(peers.sqlalchemy_utils(made, _PEERS), _PEERS))
    if last and (cost := peers.pgcrypto(made, _SLOW_PEERS)):
        found.add("pgcrypto", _per_row(cost, _SLOW_PEERS))
    _read_and_purge(made, folder, first, found)


def _read_and_purge(made: Ground, folder: Path, first: int, found: _Found) -> None:
    batch_id, _, _ = _load(made, folder, first, _PURGED, 1)
    _read(made, found)
    _purge(made, batch_id, found)


def _load(
    made: Ground, folder: Path, first: int, count: int, workers: int
) -> tuple[UUID, Load, Load]:
    """Load a file of so many customers; what opening and closing cost is part of it."""
    path = folder / f"{first}.csv"
    legacy.write_customers(made, path, first, count)
    custody = made.custody
    begun: list[UUID] = []

    def begin() -> None:
        begun.append(batches.open_batch(custody, ACTOR, legacy.SOURCE, str(path)).id)

    opening = made.meter.measure(begin)
    (batch_id,) = begun
    ingested = load(made, "ingest", batch_id, workers)
    closing = made.meter.measure(lambda: batches.close_batch(custody, ACTOR, batch_id))
    path.unlink()
    preparing = made.meter.measure(
        lambda: search.prepare_indexes(custody, ACTOR, batches.require_batch(custody, batch_id))
    )
    stored = load(made, "store", batch_id, workers)
    finishing = made.meter.measure(lambda: _finish(made, batch_id, count))
    return (
        batch_id,
        ingested.with_costs(opening, closing),
        stored.with_costs(preparing, finishing),
    )


def _finish(made: Ground, batch_id: UUID, count: int) -> None:
    store.finish_store(made.custody, ACTOR, batch_id)
    search.fit_indexes(made.custody, ACTOR)
    receipt = batches.total(batch_id, batches.receipts_of(made.custody, batch_id))
    if receipt.stored != count:
        raise AssertionError(f"{receipt.stored} of {count} customers were stored")


def _read(made: Ground, found: _Found) -> None:
    """Measure revealing records, one a call and several."""
    with transaction(made.custody.data) as connection:
        ids = [one.id for one in select_records(connection, "customers")[:_READS]]
    for together in (1, _TOGETHER):
        parts = [ids[start : start + together] for start in range(0, _READS, together)]

        def read(parts: list[list[UUID]] = parts) -> None:
            for part in parts:
                reveal(
                    made.custody,
                    ACTOR,
                    record_ids=part,
                    fields=frozenset({"name", "mobile"}),
                    event="bench:records:read",
                    facts={},
                )

        cost = made.meter.measure(read)
        found.add(f"read {together}", _READS / cost.wall)


def _purge(made: Ground, batch_id: UUID, found: _Found) -> None:
    """Measure the destruction of a batch's customers: plan, erase, prove absent, certify."""
    custody = made.custody

    def purge() -> None:
        scope = Scope(as_of=custody.today(), batch_id=batch_id)
        plan = plan_destruction(custody, ACTOR, scope)
        for chunk in claim_plan(custody, ACTOR, plan.id):
            erase_chunk(custody, ACTOR, plan.id, chunk)
        certify_destruction(custody, ACTOR, verify_absence(custody, ACTOR, plan.id))

    found.add("purge", _PURGED / made.meter.measure(purge).wall)


def _load_rows(found: _Found) -> list[Row]:
    plain, ingest, store_ = (found.median(name) for name in ("plain", "ingest", "store"))
    least = found.median("bytes") + found.median("calls")
    rows = [
        Row(
            name="plaintext COPY, primary key and two indexes",
            value=plain,
            unit="µs",
            detail=f"{found.range('plain')}; {plain / MEASURED_PLAIN - 1:+.0%} against the"
            f" {MEASURED_PLAIN} µs of the machine the targets were set on",
        )
    ]
    rows += [
        Row(
            name=f"{name}, CPU a row",
            value=found.median(name),
            unit="µs",
            detail=f"{found.range(name)}; {found.median(f'{name} client'):.0f} of them client;"
            f" {found.median(f'{name} wal'):,.0f} bytes of WAL;"
            f" {found.median(f'{name} rate'):,.0f} rows/s",
        )
        for name in ("ingest", "store")
    ]
    rows += [
        Row(name="store ÷ plaintext COPY", value=plain / store_, unit="×", target=0.30),
        Row(
            name="the floor of store ÷ plaintext COPY, without any code of custody's",
            value=plain / least,
            unit="×",
            detail=f"{found.median('bytes'):.1f} µs its bytes by COPY into its tables,"
            f" {found.median('calls'):.1f} its calls of cipher and hash",
        ),
        Row(
            name="store ÷ the same, if a native sealer made its calls at no cost",
            value=plain / (store_ - found.median("calls")),
            unit="×",
            target=0.45,
            detail="a bound: no such sealer is built",
        ),
        Row(
            name="ingest + store ÷ plaintext COPY",
            value=plain / (ingest + store_),
            unit="×",
            target=0.18,
        ),
        Row(
            name="ingest + store ÷ SQLAlchemy-Utils, five encrypted fields",
            value=found.median("utils") / (ingest + store_),
            unit="×",
            target=2,
            detail=f"{found.median('utils'):.0f} µs a row, on {_PEERS:,} rows;"
            f" {found.median('utils') / least:.2g} at the floor of store alone",
        ),
    ]
    if "pgcrypto" in found:
        rows.append(
            Row(
                name="ingest + store ÷ pgcrypto pgp_sym, five encrypted fields",
                value=found.median("pgcrypto") / (ingest + store_),
                unit="×",
                target=15,
                detail=f"{found.median('pgcrypto'):.0f} µs a row, on {_SLOW_PEERS:,} rows;"
                f" {found.median('pgcrypto') / least:.2g} at the floor of store alone",
            )
        )
    return rows


def _worker_rows(found: _Found) -> list[Row]:
    return [
        Row(
            name="2 worker processes ÷ 1, wall",
            value=found.median("wall 1") / found.median("wall 2"),
            unit="×",
            target=1.25,
            detail=f"{found.median('shared'):,.0f} rows each; {found.median('wall 1'):.1f} and"
            f" {found.median('wall 2'):.1f} s",
        ),
        Row(
            name="CPU a row, 4 workers ÷ 1",
            value=found.median("cpu 4") / found.median("cpu 1"),
            unit="×",
            target=1.15,
            at_most=True,
        ),
        Row(
            name="peak memory of a worker",
            value=max(found.costs["memory"]),
            unit="MB",
            target=500,
            at_most=True,
        ),
    ]


def _later_rows(found: _Found) -> list[Row]:
    return [
        Row(name="read, one record a call", value=found.median("read 1"), unit="records/s"),
        Row(
            name=f"read, {_TOGETHER} records a call",
            value=found.median(f"read {_TOGETHER}"),
            unit="records/s",
        ),
        Row(name="purge, with certificate", value=found.median("purge"), unit="customers/s"),
    ]


def _per_row(cost: Cost, rows: int) -> float:
    return cost.cpu / rows * _MICRO


def _cpu(one: Load, rows: int) -> float:
    return (one.client + one.server) / rows * _MICRO
