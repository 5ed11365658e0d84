"""Searching by a value: coarse tags, candidates opened and compared, and no more told (T11)."""

import hmac
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from math import sqrt
from pathlib import Path
from typing import Final

import pytest
from everything import rows_of
from house import TESTER, Site, destroy, plan_all, take_in
from racing import accept_all, errors, race, settle
from sqlalchemy import text
from story import CONSENTS, CUSTOMERS, consents, customer, customer_of, person, write_file

from custody.acts import search as searching
from custody.acts.context import Custody
from custody.acts.search import Found, fit_indexes, search_customers
from custody.acts.store import store_chunk
from custody.database.engine import transaction
from custody.database.ledger import read_entries
from custody.database.search import index_sizes
from custody.errors import UsageError
from custody.policy.model import EQUALITY, LAST_FOUR, UnknownNameError
from custody.seal import encode_context
from custody.searching import FULL_BITS, cut, fitting_bits

MOBILE = "customers.6:equality"
PEOPLE = 60


def settled(custody: Custody, folder: Path, numbers: range) -> None:
    """Settle people with all their consents."""
    given = [row for number in numbers for row in consents(number)]
    people = [customer(number) for number in numbers]
    name = f"{numbers.start}"
    settle(
        custody,
        write_file(folder / f"consents{name}.csv", CONSENTS, given),
        write_file(folder / f"customers{name}.csv", CUSTOMERS, people),
    )
    fit_indexes(custody, TESTER)


@pytest.fixture
def filled(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    accept_all(monkeypatch)
    with site.opened(chunk_rows=500) as custody:
        settled(custody, tmp_path, range(PEOPLE))
    return site


def by_mobile(custody: Custody, value: str, how: str = EQUALITY) -> Found:
    return search_customers(custody, TESTER, "customers", "mobile", how, value)


def bits(custody: Custody) -> dict[str, int]:
    with transaction(custody.data) as connection:
        return {one.kind: one.bits for one in index_sizes(connection)}


def test_everybody_is_found_by_number_and_suffix_and_nobody_else(filled: Site) -> None:
    with filled.opened() as custody:
        mobiles = [person(number).mobile for number in range(PEOPLE)]
        opened = []
        for number, mobile in enumerate(mobiles):
            known = customer_of(custody, number)
            found = by_mobile(custody, f"+86 {mobile[:3]}-{mobile[3:]}")
            assert found.customers == (known,)
            opened.append(found.candidates)
            suffix = by_mobile(custody, mobile[-4:], LAST_FOUR)
            same = {n for n, other in enumerate(mobiles) if other[-4:] == mobile[-4:]}
            assert set(suffix.customers) == {customer_of(custody, n) for n in same}
        assert 2 <= sum(opened) / len(opened) <= 2 * sqrt(PEOPLE)
        stranger = by_mobile(custody, person(PEOPLE + 7).mobile)
        assert stranger.customers == ()


def test_a_search_is_in_the_ledger_before_anything_is_opened(
    filled: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(searching, "open_present", nothing)
    with filled.opened() as custody:
        with pytest.raises(AssertionError, match="opened"):
            by_mobile(custody, person(3).mobile)
        with transaction(custody.data) as connection:
            *_, last = read_entries(connection)
    assert last.event == "customer:field:searched"
    assert json.loads(last.body)["facts"]["index"] == MOBILE
    assert person(3).mobile not in last.body


@pytest.mark.parametrize(
    ("dataset", "field", "how", "value", "why"),
    [
        ("customers", "name", EQUALITY, "王小明", UsageError),
        ("customers", "resident_id", LAST_FOUR, "002X", UsageError),
        ("customers", "mobile", EQUALITY, "12", UsageError),
        ("customers", "mobile", LAST_FOUR, "12345", UsageError),
        ("customers", "none", EQUALITY, "1", UnknownNameError),
        ("none", "mobile", EQUALITY, "1", UnknownNameError),
    ],
)
def test_what_cannot_be_searched_is_refused(
    site: Site, dataset: str, field: str, how: str, value: str, why: type[Exception]
) -> None:
    with site.opened() as custody, pytest.raises(why) as refused:
        search_customers(custody, TESTER, dataset, field, how, value)
    assert value not in str(refused.value) or len(value) < 3


def test_a_tag_is_as_coarse_as_the_index_is_large(filled: Site, tmp_path: Path) -> None:
    with filled.opened(chunk_rows=500) as custody:
        before = bits(custody)[MOBILE]
        assert before == fitting_bits(PEOPLE, FULL_BITS) == 4
        settled(custody, tmp_path, range(PEOPLE, 4 * PEOPLE))
        assert bits(custody)[MOBILE] == before, "15 candidates are within √240"
        settled(custody, tmp_path, range(4 * PEOPLE, 20 * PEOPLE))
        assert bits(custody)[MOBILE] == fitting_bits(20 * PEOPLE, before) == 9
        for number in (1, 3 * PEOPLE, 20 * PEOPLE - 1):
            known = customer_of(custody, number)
            assert known in by_mobile(custody, person(number).mobile).customers
        with transaction(custody.data) as connection:
            tags = connection.execute(
                text("SELECT tag FROM search_index WHERE kind = :kind"), {"kind": MOBILE}
            ).scalars()
            counts = Counter(bytes(tag) for tag in tags)
        assert sum(counts.values()) == 20 * PEOPLE
        assert all(cut(tag, 9) == tag for tag in counts)
        assert fit_indexes(custody, TESTER) == 0, "again finds nothing to do"


def searching_by(custody: Custody, **fields: tuple[str, ...]) -> Custody:
    """Return the installation under a policy that searches customers by these fields."""
    dataset = custody.policy.dataset("customers")
    changed = tuple(
        replace(one, search=frozenset(fields.get(one.name, ()))) for one in dataset.fields
    )
    datasets = {**custody.policy.datasets, "customers": replace(dataset, fields=changed)}
    return replace(custody, policy=replace(custody.policy, datasets=datasets))


def test_an_index_that_the_policy_adds_is_written_before_it_is_searched(
    filled: Site, tmp_path: Path
) -> None:
    with filled.opened(chunk_rows=500) as opened:
        custody = searching_by(opened, name=("equality",), address=("equality",))
        wanted = ("customers", "address", EQUALITY, person(3).address)
        with pytest.raises(UsageError, match="not complete"):
            search_customers(custody, TESTER, *wanted)
        settled(custody, tmp_path, range(PEOPLE, PEOPLE + 3))
        for number in (3, PEOPLE + 1):
            known = customer_of(custody, number)
            value = f" {person(number).address}  "
            found = search_customers(custody, TESTER, *wanted[:3], value)
            assert known in found.customers, "also with blanks, as ingest reads it"
        # The numbers of mobiles went meanwhile, and one stored since is not in the index.
        with pytest.raises(UsageError, match="not complete"):
            by_mobile(opened, person(3).mobile)
        assert fit_indexes(opened, TESTER) >= 1
        for number in (3, PEOPLE + 1):
            assert by_mobile(opened, person(number).mobile).customers == (
                customer_of(opened, number),
            )


def test_an_empty_installation_finds_nobody(site: Site) -> None:
    with site.opened() as custody:
        assert by_mobile(custody, person(3).mobile) == Found(customers=(), candidates=0)
        assert fit_indexes(custody, TESTER) == 0


def test_after_a_purge_an_index_is_coarser(filled: Site) -> None:
    with filled.opened() as custody:
        before = bits(custody)[MOBILE]
        for number in range(PEOPLE - 10):
            destroy(custody, plan_all(custody, customer_of(custody, number)))
        assert fit_indexes(custody, TESTER) > 0
        assert bits(custody)[MOBILE] == fitting_bits(10, before) < before
        last = PEOPLE - 1
        assert by_mobile(custody, person(last).mobile).customers == (customer_of(custody, last),)


def test_an_erasure_leaves_no_entry(filled: Site) -> None:
    with filled.opened() as custody:
        gone = customer_of(custody, 5)
        assert gone is not None
        destroy(custody, plan_all(custody, gone))
        assert by_mobile(custody, person(5).mobile).customers == ()
        left = {row.id for row in rows_of(custody)}
        with transaction(custody.data) as connection:
            indexed = set(connection.execute(text("SELECT record_id FROM search_index")).scalars())
        assert indexed <= left


def test_searches_erasures_and_fitting_do_not_disturb_each_other(
    filled: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [4, 9]
    monkeypatch.setattr(searching, "fitting_bits", lambda _, now: wanted[now == wanted[0]])
    with filled.opened() as custody:
        found = {number: customer_of(custody, number) for number in range(PEOPLE)}
        for number in range(0, PEOPLE, 2):
            kept, goes = number, found[number + 1]
            assert goes is not None
            plan = partial(plan_all, custody, goes)
            searched, *others = race(
                number,
                partial(by_mobile, custody, person(kept).mobile),
                partial(fit_indexes, custody, TESTER),
                lambda plan=plan: destroy(custody, plan()),
            )
            assert errors([searched, *others]) == []
            assert searched.value.customers == (found[kept],)
        assert len({row.customer_id for row in rows_of(custody)}) == PEOPLE // 2


def test_stores_that_replace_and_fitting_do_not_disturb_each_other(
    filled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store takes old entries out and puts new ones in, while the index becomes another."""
    wanted = [3, 8]
    with filled.opened(chunk_rows=1) as custody:
        rows = [customer(number, address="新址一号") for number in range(40)]
        file = write_file(tmp_path / "again.csv", CUSTOMERS, rows)
        batch = take_in(custody, file.source, file.path)
        monkeypatch.setattr(searching, "fitting_bits", lambda _, now: wanted[now == wanted[0]])
        fitted = 0
        for number in range(batch.chunks):
            stored, fit = race(
                number,
                partial(store_chunk, custody, TESTER, batch.id, number),
                partial(fit_indexes, custody, TESTER),
            )
            assert errors([stored, fit]) == []
            assert stored.value.replaced == 1
            fitted += fit.value
        assert fitted >= batch.chunks == 40
        for number in range(40):
            known = customer_of(custody, number)
            assert by_mobile(custody, person(number).mobile).customers == (known,)


def test_the_bits_keep_between_two_and_the_root_of_the_entries() -> None:
    for entries in (4, 10, 60, 5_000, 100_000, 1_000_000, 100_000_000):
        kept = fitting_bits(entries, FULL_BITS)
        shared = entries / 2**kept
        assert shared >= 2
        assert shared <= max(sqrt(entries), 4) or kept == FULL_BITS
        assert fitting_bits(entries, kept) == kept
    assert fitting_bits(3, FULL_BITS) == fitting_bits(0, FULL_BITS) == 0


MANY: Final = 4000


def test_without_the_keys_a_dumped_index_says_no_more_than_was_planned(filled: Site) -> None:
    """The attacker has the whole list of mobiles and the whole table, and none of the keys.

    Each record is guessed to have the mobile whose tag, under any function the attacker can
    compute, is the record's. The naive twin, tags without a key, is guessed as well as its bits
    allow: one in as many as share a tag.
    """
    chance = random.Random(4)
    mobiles = [f"138{number:08d}" for number in chance.sample(range(10**8), MANY)]
    bits = fitting_bits(MANY, FULL_BITS)
    with filled.opened() as custody:
        tag_of = custody.keyring.tags.searches(MOBILE, bits)
    dump = dict(enumerate(tag_of(mobile) for mobile in mobiles))
    shared = Counter(dump.values())
    assert 2 <= MANY / len(shared) <= sqrt(MANY), "the planned coincidences"
    for name, function in FUNCTIONS.items():
        right = guessed(dump, mobiles, lambda m, f=function: cut(f(m)[:2], bits), chance)
        assert right < 10 / MANY < 1 / max(shared.values()), name
    unkeyed = {number: cut(_plain(one)[:2], bits) for number, one in enumerate(mobiles)}
    seen = guessed(unkeyed, mobiles, lambda m: cut(_plain(m)[:2], bits), chance)
    assert seen > len(set(unkeyed.values())) / MANY - 0.1, "the naive twin"


def _plain(mobile: str) -> bytes:
    return sha256(mobile.encode()).digest()


def _under(key: bytes) -> Callable[[str], bytes]:
    def tag(mobile: str) -> bytes:
        return hmac.digest(key, encode_context([MOBILE.encode(), mobile.encode()]), "sha256")

    return tag


FUNCTIONS: Final = {"no key": _plain, "an empty key": _under(b""), "zeros": _under(bytes(32))}


def guessed(
    dump: Mapping[int, bytes],
    mobiles: Sequence[str],
    function: Callable[[str], bytes],
    chance: random.Random,
) -> float:
    """Return the share of records whose mobile is guessed right."""
    by_tag: dict[bytes, list[str]] = {}
    for mobile in mobiles:
        by_tag.setdefault(function(mobile), []).append(mobile)
    right = sum(
        chance.choice(by_tag.get(tag, [""])) == mobiles[number] for number, tag in dump.items()
    )
    return right / len(dump)


def test_tags_of_one_value_in_two_indexes_have_nothing_in_common(filled: Site) -> None:
    """So that the index of last fours does not tell who shares a tag in the other."""
    with filled.opened() as custody:
        tags = custody.keyring.tags
        one, other = tags.searches(MOBILE, 16), tags.searches(f"{MOBILE}-other", 16)
        values = [f"138{number:08d}" for number in range(2000)]
        same = sum(one(value) == other(value) for value in values)
    assert same <= 3
