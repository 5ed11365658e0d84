"""A legacy system to load from: a file of synthetic customers, and the consents they gave before.

The customers are the demo's, without children, twelve fields each, in its policy's proportions: an
e-mail address for 70 of 100, a bank card for 50, a free text on health for 10. Each consented to
the service and to sensitive data, so each is known to custody when the file comes, by the customer
number alone: the record, its key, its resident ID and its search tags are new.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import psycopg

from benchmarks.ground import Ground
from custody.demo.people import Person, World, make_person
from custody.demo.rows import CUSTOMER_COLUMNS, Row, customer_row
from custody.identifiers import random_id
from custody.keys.entries import FIRST_EPOCH
from custody.randomness import Pool
from custody.reference import IDENTITY, reference_name, seal_reference

SOURCE: Final = "legacy_customers"
CONSENT_SOURCE_NAMESPACE: Final = "legacy"
PURPOSE: Final = "insurance_service"
KINDS: Final = ("purpose", "sensitive")
DROPPED: Final = frozenset({"social_account", "phone"})
COLUMNS: Final = {name: title for name, title in CUSTOMER_COLUMNS.items() if name not in DROPPED}
SEED: Final = 1
_BLOCK: Final = 20_000


def people(ground: Ground, first: int, count: int) -> Iterator[Person]:
    """Yield so many grown people, the same for the same numbers."""
    custody = ground.custody
    world = World(seed=SEED, today=custody.today(), zone=custody.zone)
    return (make_person(world, index, minor=False) for index in range(first, first + count))


def rows_of(ground: Ground, first: int, count: int) -> Iterator[Row]:
    """Yield the records of these people, twelve fields each."""
    for person in people(ground, first, count):
        row = customer_row(person, person.customer_no)
        yield {name: row[name] for name in COLUMNS}


def write_customers(ground: Ground, path: Path, first: int, count: int) -> None:
    """Write the records as the legacy system exports them: CSV, GB18030."""
    with path.open("w", encoding="gb18030", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.values())
        writer.writerows(row.values() for row in rows_of(ground, first, count))


def give_consents(ground: Ground, first: int, count: int) -> None:
    """Make the customers known and their consents recorded, as ingesting a file of them does."""
    for start in range(first, first + count, _BLOCK):
        size = min(_BLOCK, first + count - start)
        _give(ground, list(people(ground, start, size)))


def _give(ground: Ground, some: list[Person]) -> None:
    custody = ground.custody
    at, randomness = custody.now(), Pool()
    now = custody.keyring.tags.epochs(FIRST_EPOCH).now
    tag_of = now.references("customer_no", CONSENT_SOURCE_NAMESPACE)
    name = reference_name("customer_no", CONSENT_SOURCE_NAMESPACE)
    known = [(random_id(), person) for person in some]
    keys = custody.keyring.data_keys({(one, IDENTITY): 1 for one, _ in known}, at)
    installation = custody.installation_id
    with psycopg.connect(ground.owner_url) as connection:
        _copy(
            connection,
            "COPY custody.customers (id, created_at) FROM STDIN (FORMAT BINARY)",
            ["uuid", "timestamptz"],
            ((one, at) for one, _ in known),
        )
        _copy(
            connection,
            "COPY custody.identity_tags (tag, customer_id, reference, single, key_id,"
            " sealed, epoch)"
            " FROM STDIN (FORMAT BINARY)",
            ["bytea", "uuid", "text", "bool", "uuid", "bytea", "int4"],
            (
                (
                    tag_of(person.customer_no),
                    one,
                    name,
                    True,
                    (key := keys[one, IDENTITY]).key_id,
                    seal_reference(
                        key, installation, one, name, person.customer_no, custody.suite, randomness
                    ),
                    FIRST_EPOCH,
                )
                for one, person in known
            ),
        )
        _copy(
            connection,
            "COPY custody.consents (id, customer_id, purpose, kind, given_at, notice_version,"
            " notice_shown_at, control_id, control_initial, text_digest, act, row_tag,"
            " recorded_at) FROM STDIN (FORMAT BINARY)",
            [
                *("uuid", "uuid", "text", "text", "timestamptz", "text", "timestamptz", "text"),
                *("text", "text", "text", "bytea", "timestamptz"),
            ],
            (consent for one, person in known for consent in _consents(one, person, at)),
        )


def _consents(customer: UUID, person: Person, at: datetime) -> Iterator[tuple[object, ...]]:
    for place, kind in enumerate(KINDS):
        row_tag = hashlib.sha256(customer.bytes + bytes((place,))).digest()[:16]
        yield (
            uuid4(),
            customer,
            PURPOSE,
            kind,
            person.collected_at - timedelta(minutes=10 - place),
            "2021-11",
            person.collected_at - timedelta(minutes=12),
            f"app-7/{PURPOSE}/{kind}",
            "unchecked",
            hashlib.sha256(f"{PURPOSE}/{kind}".encode()).hexdigest(),
            "tick",
            row_tag,
            at,
        )


def _copy(
    connection: psycopg.Connection[Any],
    statement: LiteralString,
    types: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
