"""The rows of the table: what is measured, against what, and what was to be reached."""

import os
from typing import Final
from uuid import UUID

import psycopg

from benchmarks import floor
from benchmarks.ground import ACTOR, PERIOD, Ground, give_keys, ground, seal_customers
from benchmarks.loads import loads
from benchmarks.measure import Cost, Meter, Series
from benchmarks.table import Row
from custody.acts.rekey import rekey, total
from custody.identifiers import random_id
from custody.record import seal_contexts
from custody.seal import DataKey, open_seal, seal
from custody.suites import AES_256_GCM, AES_256_GCM_SIV, SM4_GCM, SUITES, Suite

PLAINTEXT: Final = bytes(300)
_ROWS: Final = "TABLE custody.records"
_REKEYED: Final = 100_000
_FLOORS: Final = 3
_CALLED: Final = 20_000
_MICRO: Final = 1_000_000


def seals(repeat: int, count: int = 20_000) -> list[Row]:
    """Measure a whole seal of 300 bytes under each suite: key, split, nonce, seal."""
    costs: dict[Suite, list[Cost]] = {suite: [] for suite in SUITES.values()}
    for _ in range(repeat):  # interleaved, so that noise falls on all
        for suite, found_so_far in costs.items():
            found_so_far.append(Meter().measure(lambda one=suite: _seal_many(one, count)))
    found = {suite: Series(rows=count, costs=cost) for suite, cost in costs.items()}
    plain = found[AES_256_GCM]
    rows = [
        Row(
            name=f"seal, {suite.name}",
            value=one.cpu_per_row,
            unit="µs",
            detail=_range(one),
        )
        for suite, one in found.items()
    ]
    ratio = plain.cpu_per_row / found[SM4_GCM].cpu_per_row
    return [*rows, Row(name="SM4-GCM ÷ AES-256-GCM", value=ratio, unit="×", target=0.45)]


def _seal_many(suite: Suite, count: int) -> None:
    installation, customer = random_id(), random_id()
    for number in range(count):
        key = DataKey(UUID(int=number), os.urandom(32))
        context = seal_contexts(installation, UUID(int=number), customer, "bench", 1)("general")
        sealed = seal(key, PLAINTEXT, context, suite)
    if open_seal(key, sealed, context) != PLAINTEXT:
        raise AssertionError("a seal that does not open measures nothing")


def keys(ground: Ground, customers: int, repeat: int) -> list[Row]:
    """Measure the turn of all keys, every new wrap opened and compared, and a period's end."""
    give_keys(ground.custody, customers)
    turner, today = ground.custody.keyring.turner, ground.custody.today()
    costs = [
        ground.meter.measure(lambda: turner.turn(today, everything=True)) for _ in range(repeat)
    ]
    turned = Series(rows=customers, costs=costs)
    end = ground.meter.measure(lambda: _end_of_keys(ground))
    return [
        Row(
            name=f"turn of {customers:,} keys",
            value=turned.rate,
            unit="keys/s",
            target=40_000,
            detail=f"{_range(turned)} CPU µs a key",
        ),
        Row(
            name="destroying a period's KEKs, wall",
            value=end.wall * 1000,
            unit="ms",
            target=50,
            at_most=True,
            detail=f"{customers:,} customers",
        ),
    ]


def _end_of_keys(ground: Ground) -> None:
    """Destroy the key-encryption keys of a period, as its end does."""
    store = ground.custody.keyring.keystore
    store.rotate([name for name in store.names if name.startswith(f"kek/{PERIOD}/")])


def rekeys(ground: Ground, customers: int, repeat: int) -> list[Row]:
    """Measure re-encryption against copying the same bytes out of the database and in again."""
    seal_customers(ground.custody, customers)
    suites = (AES_256_GCM_SIV, AES_256_GCM)
    renewed, copied = [], []
    for turn in range(repeat):
        suite = suites[turn % len(suites)]
        renewed.append(ground.meter.measure(lambda one=suite: _rekey(ground, one, customers)))
        copied.append(ground.meter.measure(lambda: _copy_out_and_in(ground)))
    written = min(floor.written_anew(ground).cpu for _ in range(_FLOORS)) / customers * _MICRO
    called = min(floor.called_again(_CALLED).cpu for _ in range(_FLOORS)) / _CALLED * _MICRO
    ours, plain = Series(rows=customers, costs=renewed), Series(rows=customers, costs=copied)
    return [
        Row(
            name="re-encryption ÷ COPY out + in of the same bytes",
            value=plain.cpu_per_row / ours.cpu_per_row,
            unit="×",
            target=0.2,
            detail=f"{ours.cpu_per_row:.1f} against {plain.cpu_per_row:.1f} µs a record",
        ),
        Row(
            name="the floor of re-encryption ÷ the same, without any code of custody's",
            value=plain.cpu_per_row / (written + called),
            unit="×",
            detail=f"{written:.1f} µs one UPDATE of all its bytes, {called:.1f} its calls of cipher"
            " and hash",
        ),
        Row(name="re-encryption", value=ours.rate, unit="records/s", detail=_range(ours)),
    ]


def _rekey(ground: Ground, suite: Suite, customers: int) -> None:
    done = total(rekey(ground.under(suite), ACTOR, suite))
    if done.records != customers:
        raise AssertionError(f"{done.records} of {customers} records were sealed again")


def _copy_out_and_in(ground: Ground) -> None:
    """Copy all records into another table of the same form, through this process."""
    url = ground.postgres.endpoints.owner_url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE custody.copied (LIKE custody.records)")
        with (
            psycopg.connect(url) as reader,
            reader.cursor().copy(f"COPY ({_ROWS}) TO STDOUT (FORMAT BINARY)") as out,
            connection.cursor().copy("COPY custody.copied FROM STDIN (FORMAT BINARY)") as into,
        ):
            for block in out:
                into.write(block)
        connection.rollback()


def _range(series: Series) -> str:
    low, high = series.spread
    return f"{low:.1f} to {high:.1f}"


def all_of(customers: int, repeat: int) -> list[Row]:
    """Measure everything there is a measure for."""
    found = [*loads(customers, repeat), *seals(repeat)]
    with ground() as made:
        found += rekeys(made, min(customers, _REKEYED), repeat)
    with ground() as made:
        found += keys(made, customers, repeat)
    return found
