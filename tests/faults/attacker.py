"""Who has a dump of the database and the full list of mobiles, and would know which is whose.

The attacker has every row of the search index, the identity tags and the records as PostgreSQL
gives them away: tags, ciphertexts, their order and lengths. An attack guesses a mobile for records.
"""

import hmac
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5, new, sha1, sha256
from itertools import product
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import text

from custody.acts.context import Custody
from custody.database.engine import transaction
from custody.seal import encode_context
from custody.searching import cut, term_of

Guesses: TypeAlias = Mapping[UUID, str]
TagOf: TypeAlias = Callable[[str], bytes]
Function: TypeAlias = Callable[[bytes], bytes]
Form: TypeAlias = Callable[[str, str], bytes]
Attack: TypeAlias = Callable[["Loot"], Guesses]

_ENTRIES = text("SELECT kind, tag, record_id FROM search_index WHERE kind = ANY(:kinds)")
_RECORDS = text(
    "SELECT r.id, r.customer_id, r.row_number, length(general) AS general,"
    " length(sensitive) AS sensitive FROM records r WHERE dataset = 'customers'"
)
_IDENTITIES = text("SELECT tag, customer_id, length(sealed) AS sealed FROM identity_tags")


@dataclass(frozen=True, kw_only=True)
class Loot:
    """What the attacker has.

    Attributes:
        mobiles: The full list, sorted, as often as each occurs; the values, not whose they are.
        kinds: The indexes of the mobiles, each with the way that it is searched.
        tags: By index, each record's tag, in the order of the table.
        identities: Each customer's tags.
        traces: By name, an order in which the records may have come, or their sizes.
        seed: Of what is left to chance.
    """

    mobiles: Sequence[str] = field(repr=False)
    kinds: Mapping[str, str]
    tags: Mapping[str, Mapping[UUID, bytes]] = field(repr=False)
    customers: Mapping[UUID, UUID] = field(repr=False)
    identities: Mapping[UUID, set[bytes]] = field(repr=False)
    traces: Mapping[str, Mapping[UUID, object]] = field(repr=False)
    seed: int = 7


def loot(custody: Custody, kinds: Mapping[str, str], mobiles: Iterable[str]) -> Loot:
    """Return what a dump of the database says."""
    with transaction(custody.data) as connection:
        entries = connection.execute(_ENTRIES, {"kinds": list(kinds)}).all()
        records = connection.execute(_RECORDS).all()
        found = connection.execute(_IDENTITIES).all()
    tags: dict[str, dict[UUID, bytes]] = {kind: {} for kind in kinds}
    for kind, tag, record in entries:
        tags[kind][record] = bytes(tag)
    identities: dict[UUID, set[bytes]] = {}
    sizes = Counter[UUID]()
    for tag, customer, sealed in found:
        identities.setdefault(customer, set()).add(bytes(tag))
        sizes[customer] += sealed
    traces: dict[str, Mapping[UUID, object]] = {
        "order of the index": {row.record_id: n for n, row in enumerate(entries)},
        "order of the records": {row.id: n for n, row in enumerate(records)},
        "order of the identities": _places(records, [one.customer_id for one in found]),
        "rows of the file": {row.id: row.row_number for row in records},
        "identifiers": {row.id: row.id for row in records},
        "customers": {row.id: row.customer_id for row in records},
        "lengths": {row.id: (row.general, row.sensitive or 0) for row in records},
        "lengths of identities": {row.id: sizes[row.customer_id] for row in records},
    }
    customers = {row.id: row.customer_id for row in records}
    return Loot(
        mobiles=sorted(mobiles),
        kinds=kinds,
        tags=tags,
        customers=customers,
        identities=identities,
        traces=traces,
    )


def _places(records: Sequence[object], customers: Sequence[UUID]) -> dict[UUID, object]:
    place = {customer: number for number, customer in enumerate(customers)}
    return {row.id: place[row.customer_id] for row in records}  # type: ignore[attr-defined]


def by_tags(seized: Loot, tag_of: Mapping[str, TagOf]) -> Guesses:
    """Guess for each record a mobile of which every index's tag is the record's.

    Args:
        seized: What the attacker has.
        tag_of: By index, what is thought to make its tags; an index left out is not looked at.
    """
    chance = random.Random(seized.seed)
    fitting: dict[tuple[bytes, ...], list[str]] = {}
    for mobile in seized.mobiles:
        tags = tuple(of(term_of(seized.kinds[kind], mobile)) for kind, of in tag_of.items())
        fitting.setdefault(tags, []).append(mobile)
    found = {
        record: fitting.get(tuple(seized.tags[kind][record] for kind in tag_of), [])
        for record in seized.customers
    }
    return {record: chance.choice(one) for record, one in found.items() if one}


def by_hashes(function: Function, form: Form, bits: int) -> Attack:
    """Return the attack that tries one function on one form of the values, in all indexes."""

    def tags(kind: str) -> TagOf:
        return lambda value: cut(function(form(kind, value))[:2], bits)

    return lambda seized: by_tags(seized, {kind: tags(kind) for kind in seized.kinds})


def by_identities(function: Function, form: Form) -> Attack:
    """Return the attack that looks for hashes of mobiles among the identity tags."""

    def attack(seized: Loot) -> Guesses:
        whose = {function(form("mobile", mobile))[:16]: mobile for mobile in seized.mobiles}
        return {
            record: whose[tag]
            for record, customer in seized.customers.items()
            for tag in seized.identities[customer]
            if tag in whose
        }

    return attack


def by_frequency(*kinds: str) -> Attack:
    """Return the attack that takes the most common tags for those of the most common values."""

    def attack(seized: Loot) -> Guesses:
        chance = random.Random(seized.seed)
        own = {
            record: tuple(seized.tags[kind][record] for kind in kinds)
            for record in seized.customers
        }
        said = {
            mobile: tuple(term_of(seized.kinds[kind], mobile) for kind in kinds)
            for mobile in seized.mobiles
        }
        records = _by_rank(own, own, chance)
        return dict(zip(records, _by_rank(seized.mobiles, said, chance), strict=True))

    return attack


def _by_rank(
    things: Iterable[object], marks: Mapping[object, tuple[object, ...]], chance: random.Random
) -> list[object]:
    """Return things in order of how common their marks are, together and each; equals together."""
    things = list(things)
    whole = Counter(marks[one] for one in things)
    parts = [Counter(column) for column in zip(*(marks[one] for one in things), strict=True)]
    tie = {mark: chance.random() for mark in whole}
    chance.shuffle(things)

    def rank(one: object) -> tuple[object, ...]:
        mark = marks[one]
        each = sorted(-count[part] for count, part in zip(parts, mark, strict=True))
        return (-whole[mark], *each, tie[mark])

    return sorted(things, key=rank)


def by_trace(name: str) -> Attack:
    """Return the attack that lays the sorted list along an order, or along sizes."""

    def attack(seized: Loot) -> Guesses:
        trace = seized.traces[name]
        records = sorted(trace, key=lambda one: (trace[one], one))
        return dict(zip(records, seized.mobiles, strict=True))

    return attack


def under(key: bytes, digest: str) -> Function:
    """Return HMAC under a key."""
    return lambda message: hmac.digest(key, message, digest)


def as_custody_does(kind: str, value: str) -> bytes:
    """Return the message whose code is a tag: the source is open, only the key is not."""
    return encode_context([kind.encode(), value.encode()])


FORMS: Final[Mapping[str, Form]] = {
    "bare": lambda _, value: value.encode(),
    "as custody does": as_custody_does,
}
FUNCTIONS: Final[Mapping[str, Function]] = {
    "sha256": lambda message: sha256(message).digest(),
    "sha1": lambda message: sha1(message).digest(),  # noqa: S324 - the attacker's choice
    "md5": lambda message: md5(message).digest(),  # noqa: S324 - likewise
    "sm3": lambda message: new("sm3", message).digest(),
    **{
        f"hmac {digest} under {name}": under(key, digest)
        for digest, (name, key) in product(
            ("sha256", "sm3"), (("nothing", b""), ("zeros", bytes(32)), ("a word", b"custody"))
        )
    },
}


def attacks(seized: Loot, bits: int) -> dict[str, Attack]:
    """Return every attack that needs no key, by name."""
    tried = {
        f"{name}, {how}": (function, form)
        for (name, function), (how, form) in product(FUNCTIONS.items(), FORMS.items())
    }
    first, second = seized.kinds
    return {
        **{f"{name} in the index": by_hashes(*one, bits) for name, one in tried.items()},
        **{f"{name} as an identity": by_identities(*one) for name, one in tried.items()},
        "frequency of the whole": by_frequency(first),
        "frequency of the last four": by_frequency(second),
        "frequency of both": by_frequency(first, second),
        **{name: by_trace(name) for name in seized.traces},
    }
