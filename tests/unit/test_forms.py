"""Identifiers, canonical JSON and payloads: one form each, and nothing else is taken for it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_catalogue import customers as small_customers
from small_catalogue import field as make_field

from custody.canonical import CanonicalError, canonical, digest, parse_canonical
from custody.identifiers import (
    CUSTOMER,
    RECORD,
    IdentifierInvalidError,
    read_id,
    show_id,
    time_ordered_id,
    time_ordered_ids,
)
from custody.intake import IntakeRow, decode_rows, encode_rows
from custody.policy.load import load_policy
from custody.policy.model import Dataset, Field, FieldType, UnknownNameError
from custody.randomness import Pool
from custody.record import (
    PSEUDONYM,
    Payload,
    PayloadReader,
    decode_compartment,
    decode_payload,
    encode_compartment,
    encode_payload,
    from_payload,
    to_primitive,
)

AT = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)
plain = st.recursive(
    st.text() | st.integers(min_value=-(2**53), max_value=2**53),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.uuids())
def test_every_identifier_comes_back_from_its_outside_form(identifier: UUID) -> None:
    assert read_id(CUSTOMER, show_id(CUSTOMER, identifier)) == identifier


@given(st.uuids(), st.uuids())
def test_the_outside_form_keeps_the_order(one: UUID, other: UUID) -> None:
    assert (one < other) == (show_id(RECORD, one) < show_id(RECORD, other))


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "cust",
        "cust_",
        "rec_00000000000000000000000000",
        "cust_0000000000000000000000000",
        "cust_000000000000000000000000000",
        "cust_0000000000000000000000000i",
        "cust_0000000000000000000000000O",
        "cust_80000000000000000000000000",
        "CUST_00000000000000000000000000",
        "cust_00000000000000000000000000\n",
    ],
)
def test_what_is_no_identifier_is_refused(shown: str) -> None:
    with pytest.raises(IdentifierInvalidError):
        read_id(CUSTOMER, shown)


def test_a_time_ordered_identifier_is_a_version_7_uuid_of_its_instant() -> None:
    made = time_ordered_id(AT)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == int(AT.timestamp() * 1000)
    assert made < time_ordered_id(AT + timedelta(milliseconds=1))


def test_time_ordered_identifiers_go_up_and_are_of_their_instant() -> None:
    made = list(islice(time_ordered_ids(AT, Pool()), 1000))
    assert made == sorted(set(made))
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert {one.int >> 80 for one in made} == {int(AT.timestamp() * 1000)}


@given(plain)
def test_canonical_json_comes_back_and_has_one_form(value: object) -> None:
    text = canonical(value)
    assert parse_canonical(text) == value
    assert canonical(parse_canonical(text)) == text


@pytest.mark.parametrize(
    "value", [1.0, None, True, {"a": None}, [float("nan")], {1: "a"}, b"bytes", object()]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


@pytest.mark.parametrize(
    "text",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":1.0}',
        b'{"a":1,"a":1}',
        b'{"a":"\\u4e2d"}',
        b"[1,]",
        b"\xff",
        b"1e3",
        b"[" * 100_000,
    ],
)
def test_text_that_is_not_canonical_is_refused(text: bytes) -> None:
    with pytest.raises(CanonicalError):
        parse_canonical(text)


def test_a_digest_is_bound_to_its_domain() -> None:
    assert digest("one", {"a": 1}) != digest("two", {"a": 1})


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (FieldType.TEXT, "𠮷野家 龘"),
        (FieldType.CODE, "CNY"),
        (FieldType.DATE, date(2024, 2, 29)),
        (FieldType.INSTANT, AT),
        (FieldType.DECIMAL, Decimal("0.10")),
        (FieldType.DECIMAL, Decimal(100000000)),
        (FieldType.INTEGER, -5),
    ],
)
def test_a_value_survives_the_payload(type_: FieldType, value: object) -> None:
    dataset = replace(small_customers(), fields=(make_field("any", 7, type=type_),))
    payload = decode_payload(encode_payload({7: to_primitive(value)}))
    assert from_payload(dataset, payload) == {"any": value}


def test_what_is_not_looked_at_stays_as_the_payload_has_it() -> None:
    reader = PayloadReader(small_customers(), {"birth_on"})
    payload: Payload = {PSEUDONYM: "ab", 4: "1990-01-02", 13: AT.isoformat(), 14: "2020-03-04"}
    assert reader.read(payload) == {
        "birth_on": date(1990, 1, 2),
        "collected_at": AT.isoformat(),
        "registered_on": "2020-03-04",
    }
    with pytest.raises(UnknownNameError):
        reader.read({99: "nobody knows"})


def test_an_instant_is_kept_in_utc_whatever_zone_it_came_in() -> None:
    local = AT.astimezone(timezone(timedelta(hours=8)))
    assert to_primitive(local) == to_primitive(AT)


CATALOGUE = load_policy(Path(__file__).parents[2] / "config" / "policy")
CODES = [
    (dataset, field)
    for dataset in CATALOGUE.datasets.values()
    for field in dataset.fields
    if len({len(code) for code in field.values}) > 1
]


@pytest.mark.parametrize(("dataset", "field"), CODES, ids=lambda one: one.name)
def test_a_code_cannot_be_told_by_the_length_of_its_seal(dataset: Dataset, field: Field) -> None:
    payloads = [{PSEUDONYM: "0" * 16, field.number: code} for code in field.values]
    sealed = {len(encode_compartment(dataset, payload)) for payload in payloads}
    assert len(sealed) == 1
    careless = {len(encode_payload(payload)) for payload in payloads}
    assert len(careless) > 1, "naive twin"


def test_there_are_codes_of_different_lengths() -> None:
    assert len(CODES) >= 2


@given(
    st.dictionaries(
        st.integers(min_value=1, max_value=9),
        st.text(max_size=70).filter(lambda text: not text.endswith("\0")) | st.integers(0, 2**40),
        max_size=9,
    )
)
def test_a_compartment_comes_back_and_is_padded_to_whole_blocks(payload: Payload) -> None:
    dataset = small_customers()
    payload = {number: payload[number] for number in payload if number in numbers_of(dataset)}
    encoded = encode_compartment(dataset, payload)
    assert len(encoded) % 32 == 0
    assert decode_compartment(encoded) == payload


def numbers_of(dataset: Dataset) -> set[int]:
    return {field.number for field in dataset.fields}


def test_equal_payloads_have_equal_bytes_whatever_their_order() -> None:
    assert encode_payload({2: "b", 1: "a"}) == encode_payload({1: "a", 2: "b"})


def test_intake_rows_come_back() -> None:
    row = IntakeRow(number=3, values={1: "一", 5: 2}, content_tag=b"c")
    assert decode_rows(encode_rows([row])) == [row]
