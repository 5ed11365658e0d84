"""The demo's legacy system: always the same, sound where it says so, defective as tabled."""

import re
import stat
from collections import Counter
from datetime import date

import pytest
from demo_oracle import ZONE, Oracle, id_codes, luhn, read_rows

from custody.codes import CODES
from custody.demo.expect import Difference, differences
from custody.demo.legacy import SOURCES, build_legacy
from custody.demo.people import World, make_person
from custody.demo.table import load_table
from custody.errors import UsageError

TODAY = date(2026, 11, 23)
LARGE, SMALL = 5000, 400


def build(folder, customers, seed=7):
    return build_legacy(folder, customers=customers, seed=seed, today=TODAY, zone=ZONE)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return build(tmp_path_factory.mktemp("large") / "legacy", LARGE)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build(tmp_path_factory.mktemp("small") / "legacy", SMALL)


def contents(legacy):
    return {source: read_rows(path) for source, path in legacy.paths.items()}


def test_the_same_seed_and_day_give_the_same_rows(small, tmp_path):
    again = build(tmp_path / "again", SMALL)
    assert contents(again) == contents(small)
    assert again.planted == small.planted
    assert again.expected == small.expected


def test_another_seed_gives_other_people(small, tmp_path):
    other = build(tmp_path / "other", SMALL, seed=8)
    assert contents(other)["legacy_customers"] != contents(small)["legacy_customers"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_second_opinion_finds_exactly_the_planted_codes_and_no_others(tmp_path, seed):
    legacy = build(tmp_path / "legacy", SMALL, seed=seed)
    judged = Oracle(legacy.paths, TODAY).judge()
    assert differences(legacy.expected.refusals, judged) == ()


def test_a_second_opinion_finds_exactly_the_planted_codes_among_five_thousand(large):
    judged = Oracle(large.paths, TODAY).judge()
    assert differences(large.expected.refusals, judged) == ()


def test_the_second_opinion_notices_a_row_spoilt_behind_the_generators_back(tmp_path):
    legacy = build(tmp_path / "legacy", SMALL)
    path = legacy.paths["legacy_profiles"]
    path.write_text(path.read_text(encoding="utf-8").replace(",R3,", ",R8,"), encoding="utf-8")
    judged = Oracle(legacy.paths, TODAY).judge()
    assert differences(legacy.expected.refusals, judged)


@pytest.mark.parametrize("legacy", ["small", "large"])
def test_every_kind_of_the_table_is_planted_alone(legacy, request):
    alone = {one.kinds[0] for one in request.getfixturevalue(legacy).planted if len(one.kinds) == 1}
    assert alone == set(load_table().kinds)
    assert len(alone) >= 30


@pytest.mark.parametrize(("legacy", "fewest"), [("small", 25), ("large", 300)])
def test_kinds_are_planted_in_pairs_too(legacy, fewest, request):
    pairs = {one.kinds for one in request.getfixturevalue(legacy).planted if len(one.kinds) == 2}
    assert len(pairs) >= fewest


def test_every_code_of_the_table_is_one_custody_can_give():
    codes = {code for kind in load_table().kinds.values() for code in kind.codes}
    assert codes <= set(CODES)
    assert len(codes) >= 25


def test_no_pair_hides_one_of_its_kinds():
    table = load_table()
    for source in table.sources:
        for first, second in table.pairs(source):
            a, b = table.kinds[first], table.kinds[second]
            assert not a.touches & b.touches
            assert not a.alone
            assert not b.alone


def test_all_people_have_sound_numbers_that_agree_with_them():
    world = World(seed=3, today=TODAY, zone=ZONE)
    people = [make_person(world, index) for index in range(3000)]
    for person in people:
        codes, born, man = id_codes(person.resident_id)
        assert (codes, born, bool(man)) == (set(), person.birth_on, person.sex == "M")
        assert re.fullmatch("1[3-9][0-9]{9}", person.mobile)
        assert not person.bank_card or luhn(person.bank_card)
        assert not person.email or re.search(r"@example\.(com|org|net)$", person.email)
    assert len({person.resident_id for person in people}) == len(people)


def test_some_people_are_children_and_all_others_are_grown():
    world = World(seed=3, today=TODAY, zone=ZONE)
    ages = [
        (person.minor, (TODAY - person.birth_on).days / 365.25)
        for person in (make_person(world, index) for index in range(3000))
    ]
    assert 20 <= sum(minor for minor, _ in ages) <= 120
    assert all(age < 14 if minor else age > 18 for minor, age in ages)


def test_people_do_not_share_a_resident_id_beyond_the_first_round_of_numbers():
    world = World(seed=5, today=TODAY, zone=ZONE)
    round_of_numbers = 12_000
    numbers = [
        make_person(world, index + round_of_numbers * turn, minor=False).resident_id
        for index in range(20)
        for turn in range(30)
    ]
    assert len(set(numbers)) == len(numbers)


def test_rare_characters_need_four_bytes_in_the_national_encoding(large):
    text = large.paths["legacy_customers"].read_bytes().decode("gb18030")
    rare = {one for one in text if len(one.encode("gb18030")) == 4}
    assert {"𠮷", "㐂"} <= rare


def test_the_workbook_holds_a_resident_id_that_somebody_typed_as_a_number(small):
    cells = [row["resident_id"] for row in read_rows(small.paths["branch_customers"])]
    assert any(not isinstance(cell, str) for cell in cells)


def test_exact_repeats_are_unchanged_and_nothing_else_repeats(large):
    rows = Counter(
        tuple(row.items()) for row in contents(large)["legacy_customers"] if "customer_no" in row
    )
    repeated = sum(count - 1 for count in rows.values())
    assert repeated == large.expected.sources["legacy_customers"].unchanged > 0


def test_the_totals_add_up(large):
    expected = large.expected
    assert expected.read == expected.accepted + expected.refused
    for source, one in expected.sources.items():
        assert one.rows == len(contents(large)[source]) == one.read + one.unchanged
        assert one.refused == len(expected.refusals[source])
        assert sum(one.reasons.values()) >= one.refused
    assert expected.level_raised > 0


def test_enquiries_that_tell_a_number_are_counted(large):
    refused = large.expected.refusals["legacy_enquiries"]
    bodies = [
        row["body"]
        for number, row in enumerate(contents(large)["legacy_enquiries"], 1)
        if number not in refused
    ]
    telling = sum(bool(re.search("[0-9]{15}", body)) for body in bodies)
    assert telling == large.expected.level_raised


def test_transactions_reach_back_beyond_five_years(large):
    days = [
        row["occurred_on"] for row in contents(large)["legacy_transactions"] if "product" in row
    ]
    old = sum("2018" <= one < "2021-11-23" for one in days)
    assert 0.2 < old / len(days) < 0.6


def test_half_of_the_customers_agree_to_the_partner(large):
    given = {
        row["customer_no"]
        for row in contents(large)["legacy_consents"]
        if row["同意类型"] == "recipient"
        and row["接收方"] == "rescue_partner"
        and not row["撤回时间"]
    }
    assert 0.3 < len(given) / LARGE < 0.6


def test_files_and_folder_are_for_the_owner_alone(small):
    assert stat.S_IMODE(small.folder.stat().st_mode) == 0o700
    assert tuple(small.paths) == SOURCES
    assert {stat.S_IMODE(path.stat().st_mode) for path in small.paths.values()} == {0o600}


def test_a_handful_of_customers_is_enough_and_fewer_are_refused(tmp_path):
    assert build(tmp_path / "few", 20).expected.accepted > 0
    with pytest.raises(UsageError):
        build(tmp_path / "none", 3)


def test_a_difference_names_row_and_codes_both_ways():
    expected = {"s": {1: frozenset({"a"}), 2: frozenset({"b"})}}
    reported = {"s": {2: frozenset({"b", "c"}), 3: frozenset({"d"})}}
    found = [
        (one.row_number, set(one.expected), set(one.reported))
        for one in differences(expected, reported)
    ]
    assert found == [(1, {"a"}, set()), (2, {"b"}, {"b", "c"}), (3, set(), {"d"})]
    assert isinstance(differences(expected, reported)[0], Difference)
