"""What no store and no re-encryption can do without: its bytes, and its calls of cipher and hash.

Figures that have nothing of custody's own code in them. What a store wrote is copied, as it lies
there, into empty tables with the same keys and indexes, by binary COPY of whole blocks; and for
every row the calls are made that the suite demands, with all they need at hand: two keys derived
and made ciphers, one of them wrapped, a reference and two compartments sealed, five tags. For a
re-encryption all records are written anew by one UPDATE of their compartments to what they are, and
the calls are: one key opened, derived twice, three compartments opened and sealed.
"""

import os
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import sql

from benchmarks.ground import Ground
from benchmarks.measure import Cost, Meter
from custody.keys.tags import Keyed
from custody.suites import AES_256_GCM, AES_256_GCM_SIV, NONCE_BYTES

# The table, and which of its rows a store of customers known by their number wrote.
_DATA: Final = (
    ("records", "SELECT * FROM custody.records"),
    ("record_keys", "SELECT * FROM custody.record_keys"),
    ("search_index", "SELECT * FROM custody.search_index"),
    ("identity_tags", "SELECT * FROM custody.identity_tags WHERE reference = 'resident_id'"),
)
_KEYS: Final = (("data_keys", "SELECT * FROM custody.data_keys WHERE period <> 'identity'"),)
_WRITE_ANEW: Final = (
    "UPDATE custody.records SET general = general, sensitive = sensitive, secret = secret"
)
_BLOCK: Final = 1 << 16
_TAGS: Final = 5
# Bytes: a key, a reference; the two compartments of the demo's customers, at the mean.
_WRAPPED, _REFERENCE, _GENERAL, _SENSITIVE = 32, 32, 208, 48
_COMPARTMENTS: Final = (160, 32, 32)  # of the records that are sealed again
_BOUND: Final = bytes(160)
_LABEL: Final = b"floor"


def copied_back(ground: Ground) -> Cost:
    """Measure COPY of everything a store wrote into tables of the same form."""
    endpoints = ground.postgres.endpoints
    costs = [
        _copy(ground.meter, url.replace("+psycopg", ""), table, rows)
        for url, tables in ((endpoints.owner_url, _DATA), (endpoints.keys_owner_url, _KEYS))
        for table, rows in tables
    ]
    return _sum(costs)


def called(rows: int) -> Cost:
    """Measure the calls of cipher and hash for so many rows."""
    return Meter().measure(lambda: _call(rows))


def written_anew(ground: Ground) -> Cost:
    """Measure one UPDATE of the compartments of all records to what they are."""
    with psycopg.connect(ground.owner_url) as connection:
        return ground.meter.measure(lambda: _write_anew(connection))


def called_again(rows: int) -> Cost:
    """Measure the calls of cipher and hash of a re-encryption of so many records."""
    return Meter().measure(lambda: _call_again(rows))


def _write_anew(connection: psycopg.Connection) -> None:
    connection.execute(_WRITE_ANEW)
    connection.commit()


def _copy(meter: Meter, url: str, table: str, rows: str) -> Cost:
    copy_out = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(sql.SQL(rows))
    with psycopg.connect(url) as connection:
        with connection.cursor().copy(copy_out) as out:
            data = b"".join(out)

        def write() -> None:
            connection.execute(
                sql.SQL("CREATE TABLE custody.floor (LIKE custody.{} INCLUDING ALL)").format(
                    sql.Identifier(table)
                )
            )
            into = "COPY custody.floor FROM STDIN (FORMAT BINARY)"
            with connection.cursor().copy(into) as copy:
                for start in range(0, len(data), _BLOCK):
                    copy.write(data[start : start + _BLOCK])
            connection.commit()

        cost = meter.measure(write)
        connection.execute("DROP TABLE custody.floor")
    return cost


def _call(rows: int) -> None:
    """Do, in order of a row, what its store asks of the libraries."""
    wrapping, _ = AES_256_GCM.split(os.urandom(32), _LABEL)
    tag = Keyed.under(os.urandom(32)).digest
    secret, nonce = os.urandom(32), os.urandom(NONCE_BYTES)
    key, reference = bytes(_WRAPPED), bytes(_REFERENCE)
    general, sensitive = bytes(_GENERAL), bytes(_SENSITIVE)
    for _ in range(rows):
        cipher, _ = AES_256_GCM.split(secret, _LABEL)
        other, _ = AES_256_GCM.split(secret, _LABEL)
        wrapping.encrypt(nonce, key, _BOUND)
        other.encrypt(nonce, reference, _BOUND)
        cipher.encrypt(nonce, general, _BOUND)
        cipher.encrypt(nonce, sensitive, _BOUND)
        for _ in range(_TAGS):
            tag(_BOUND)


def _call_again(rows: int) -> None:
    """Do, in order of a record, what sealing it again under another suite asks of the libraries."""
    wrapping, _ = AES_256_GCM.split(os.urandom(32), _LABEL)
    secret, nonce = os.urandom(32), os.urandom(NONCE_BYTES)
    wrapped = wrapping.encrypt(nonce, bytes(_WRAPPED), _BOUND)
    before, _ = AES_256_GCM.split(secret, _LABEL)
    there = [before.encrypt(nonce, bytes(size), _BOUND) for size in _COMPARTMENTS]
    for _ in range(rows):
        wrapping.decrypt(nonce, wrapped, _BOUND)
        before, _ = AES_256_GCM.split(secret, _LABEL)
        after, _ = AES_256_GCM_SIV.split(secret, _LABEL)
        for sealed in there:
            after.encrypt(nonce, before.decrypt(nonce, sealed, _BOUND), _BOUND)


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(
        wall=sum(one.wall for one in costs),
        client=sum(one.client for one in costs),
        server=sum(one.server for one in costs),
    )
