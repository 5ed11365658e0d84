"""Without the index keys a dump and the full list of mobiles name nobody (threats T11)."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import sqrt
from pathlib import Path
from uuid import UUID

import pytest
from attacker import (
    FUNCTIONS,
    Guesses,
    Loot,
    TagOf,
    as_custody_does,
    attacks,
    by_frequency,
    by_hashes,
    by_tags,
    loot,
    under,
)
from everything import rows_of
from house import TESTER, founded
from racing import accept_all, settle
from story import CONSENTS, CUSTOMERS, consents, customer, write_file

from custody.acts.context import Custody
from custody.acts.sealing import open_records
from custody.acts.search import fit_indexes
from custody.database.engine import transaction
from custody.database.search import index_sizes
from custody.embedded.postgres import EmbeddedPostgres
from custody.keys.entries import tag_entry
from custody.policy.model import EQUALITY, LAST_FOUR
from custody.searching import FULL_BITS, cut, fitting_bits, term_of
from custody.suites import AES_256_GCM

PEOPLE = 1500
EQUAL, SUFFIX = "customers.6:equality", "customers.6:last_four"
KINDS = {EQUAL: EQUALITY, SUFFIX: LAST_FOUR}
HEADS = ("135", "138", "139", "150", "158", "177", "186", "188", "199")
LIKED = ("8888", "6666", "1688", "9999", "5678")
# Who deals the list out blindly is right for one in a thousand; frequency names a family or two.
LUCK = 0.05


def mobiles(chance: random.Random) -> Iterator[str]:
    """Yield numbers as people have them: one in ten shared by a family, some with liked ends."""
    while True:
        end = chance.choice(LIKED) if chance.random() < 0.03 else f"{chance.randrange(10**4):04}"
        number = f"{chance.choice(HEADS)}{chance.randrange(10**4):04}{end}"
        yield from [number] * (chance.choice((2, 2, 2, 3, 4)) if chance.random() < 0.05 else 1)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """An installation that was robbed.

    Attributes:
        whose: Which mobile each record holds, in truth.
        bits: How many bits the tags of the indexes keep.
        key: The key of the indexes.
    """

    seized: Loot
    whose: Mapping[UUID, str] = field(repr=False)
    bits: Mapping[str, int]
    key: bytes = field(repr=False)

    def right(self, guesses: Guesses) -> float:
        """Return for which share of the records the guess is right."""
        return sum(self.whose[one] == guess for one, guess in guesses.items()) / len(self.whose)

    @property
    def planned(self) -> float:
        """The share that the planned coincidences permit: one of those that share a tag."""
        return max(2**bits / len(self.whose) for bits in self.bits.values())


@pytest.fixture(scope="module")
def broken(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broken]:
    """Return an installation of many, robbed of everything but its keys."""
    folder = tmp_path_factory.mktemp("robbed")
    chance = random.Random(20261128)
    numbers = list(islice(mobiles(chance), PEOPLE))
    chance.shuffle(numbers)  # families do not lie together in a file
    with pytest.MonkeyPatch.context() as patch, founded(_templates, folder) as site:
        accept_all(patch)
        with site.opened(chunk_rows=500) as custody:
            settle_people(custody, folder, numbers)
            yield rob(custody, numbers)


def settle_people(custody: Custody, folder: Path, numbers: list[str]) -> None:
    given = [row for index in range(PEOPLE) for row in consents(index, care=False)]
    people = [customer(index, mobile=number) for index, number in enumerate(numbers)]
    settle(
        custody,
        write_file(folder / "consents.csv", CONSENTS, given),
        write_file(folder / "customers.csv", CUSTOMERS, people),
    )
    fit_indexes(custody, TESTER)


def rob(custody: Custody, numbers: list[str]) -> Broken:
    whose = {
        one.row.id: str(one.values(custody)["mobile"])
        for one in open_records(custody, rows_of(custody))
    }
    with transaction(custody.data) as connection:
        sizes = {one.kind: one.bits for one in index_sizes(connection) if one.kind in KINDS}
    return Broken(
        seized=loot(custody, KINDS, numbers),
        whose=whose,
        bits=sizes,
        key=custody.keyring.keystore.secret(tag_entry("search", AES_256_GCM)),
    )


def test_the_dump_is_whole_and_its_coincidences_are_those_planned(broken: Broken) -> None:
    assert len(broken.whose) == PEOPLE
    assert sorted(broken.whose.values()) == list(broken.seized.mobiles)
    assert max(Counter(broken.whose.values()).values()) > 2, "some numbers are shared"
    assert set(broken.bits.values()) == {fitting_bits(PEOPLE, FULL_BITS)}
    for kind in KINDS:
        assert broken.seized.tags[kind].keys() == broken.whose.keys()
        assert 2 <= PEOPLE / 2 ** broken.bits[kind] <= sqrt(PEOPLE)
    assert 1 / sqrt(PEOPLE) <= broken.planned <= 1 / 2


def test_no_attack_without_a_key_comes_near_to_the_planned_coincidences(broken: Broken) -> None:
    tried = attacks(broken.seized, broken.bits[EQUAL])
    found = {name: broken.right(attack(broken.seized)) for name, attack in tried.items()}
    assert len(found) > 50
    assert max(found.values()) <= LUCK < broken.planned, found


def test_with_the_key_an_index_links_as_many_as_planned_and_both_together_nearly_all(
    broken: Broken,
) -> None:
    """The control: the same attacks by the same attacker, who was given the key."""
    bits, function = broken.bits[EQUAL], under(broken.key, "sha256")
    for kind, how in KINDS.items():
        alone = replace(broken.seized, kinds={kind: how})
        right = broken.right(by_hashes(function, as_custody_does, bits)(alone))
        assert broken.planned / 2 < right < broken.planned * 3 / 2, kind
    assert broken.right(by_hashes(function, as_custody_does, bits)(broken.seized)) > 0.95


@pytest.mark.parametrize("name", ["sha256", "md5", "hmac sha256 under nothing"])
def test_a_careless_index_without_a_key_names_everybody(broken: Broken, name: str) -> None:
    """The naive twin: whole hashes without a key, and the same cut as custody cuts its own."""
    bits, plain = broken.bits[EQUAL], FUNCTIONS[name]
    whole = careless(broken, lambda mobile: plain(mobile.encode()))
    tag_of = dict.fromkeys(KINDS, lambda value: plain(value.encode()))
    assert broken.right(by_tags(whole, tag_of)) == 1.0
    short = careless(broken, lambda mobile: cut(plain(mobile.encode())[:2], bits))
    attack = attacks(short, bits)[f"{name}, bare in the index"]
    assert broken.right(attack(short)) > 0.95 > LUCK


def careless(broken: Broken, tag_of: TagOf) -> Loot:
    """Return the loot of an installation whose tags are another function's."""
    tags = {
        kind: {record: tag_of(term_of(how, mobile)) for record, mobile in broken.whose.items()}
        for kind, how in KINDS.items()
    }
    return replace(broken.seized, tags=tags)


def test_mobiles_for_identity_tags_would_be_found_among_them(broken: Broken) -> None:
    """The control of the attacks on identity tags: hashes without a key that lie there."""
    plain = FUNCTIONS["sm3"]
    identities = {
        broken.seized.customers[record]: {plain(mobile.encode())[:16]}
        for record, mobile in broken.whose.items()
    }
    seized = replace(broken.seized, identities=identities)
    attack = attacks(seized, broken.bits[EQUAL])["sm3, bare as an identity"]
    assert broken.right(attack(seized)) == 1.0


def test_an_order_or_a_size_that_follows_the_list_names_everybody(broken: Broken) -> None:
    """The control of the attacks by order and by size: they notice what is given away."""
    order = sorted(broken.whose, key=broken.whose.__getitem__)
    for name in broken.seized.traces:
        traces = {name: {record: place for place, record in enumerate(order)}}
        betrayed = replace(broken.seized, traces=traces)
        assert broken.right(attacks(betrayed, broken.bits[EQUAL])[name](betrayed)) == 1.0


def test_whole_tags_of_values_that_differ_in_frequency_are_told_by_it(broken: Broken) -> None:
    """The control of the attacks by frequency, which a key alone does not stop."""
    values = [f"1380000{number:04}" for number in range(10, 50) for _ in range(number)]
    whose = dict(zip(broken.whose, values, strict=False))
    told = replace(broken, whose=whose)
    secret = under(b"nobody knows", "sha256")
    seized = replace(
        careless(told, lambda value: secret(value.encode())),
        mobiles=sorted(whose.values()),
        customers={record: broken.seized.customers[record] for record in whose},
    )
    assert len(whose) > PEOPLE * 3 / 4
    for kinds in ([EQUAL], [EQUAL, SUFFIX]):
        assert told.right(by_frequency(*kinds)(seized)) == 1.0
