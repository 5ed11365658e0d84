"""Requests and their digests, the lock after failed votes, and the Merkle tree over the rows."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.approval import (
    CLEAR,
    MASKED,
    TRANSFER,
    USE,
    Ask,
    Digest,
    FrozenRow,
    Request,
    ask_digest,
    is_locked,
    key_fingerprint,
    parse_request,
    read_digest,
    rows_root,
)
from custody.canonical import SHA256, SM3, canonical, parse_canonical
from custody.errors import RefusedError, UsageError
from custody.identifiers import INSTALLATION as INSTALLATION_KIND
from custody.identifiers import show_id
from custody.merkle import merkle_root

HASHES = (SHA256, SM3)
AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
INSTALLATION, OTHER = UUID(int=1), UUID(int=2)
ASK = Ask(
    kind=USE,
    dataset="customers",
    purpose="insurance_service",
    fields={"name": MASKED, "mobile": CLEAR},
    until=AT,
)
REQUEST = Request(
    installation=INSTALLATION,
    id=UUID(int=3),
    revision=1,
    kind=TRANSFER,
    dataset="customers",
    purpose="partner_service",
    fields={"name": CLEAR},
    rows=2,
    root=bytes(32),
    customers=2,
    left_out={"consent_withdrawn": 1},
    basis="consent",
    recipient="rescue_partner",
    key="ab" * 32,
    country="CN",
    until=AT,
    form="csv",
    policy="cd" * 32,
    requester=UUID(int=4),
    filed_at=AT,
    ask="ef" * 32,
)

# The published vectors of RFC 6962's authors (certificate-transparency, merkle_tree_test.cc).
LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_the_merkle_root_is_the_published_one(size: int) -> None:
    assert merkle_root(map(bytes.fromhex, LEAVES[:size])).hex() == ROOTS[size]


def hashed(by: str, message: bytes) -> bytes:
    """The hash as the other library makes it, held to the published vectors in test_suites."""
    made = hashes.Hash({SHA256: hashes.SHA256, SM3: hashes.SM3}[by]())
    made.update(message)
    return made.finalize()


def by_definition(leaves: list[bytes], by: str) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashed(by, b"")
    if len(leaves) == 1:
        return hashed(by, b"\0" + leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = by_definition(leaves[:split], by), by_definition(leaves[split:], by)
    return hashed(by, b"\1" + left + right)


@given(st.lists(st.binary(max_size=4), max_size=70), st.sampled_from(HASHES))
@settings(max_examples=60, deadline=None)
def test_the_streaming_root_is_the_recursive_one(leaves: list[bytes], by: str) -> None:
    assert merkle_root(leaves, by) == by_definition(leaves, by)


def test_a_last_leaf_repeated_changes_the_root() -> None:
    """The careless tree that doubles an odd leaf cannot tell these two lists apart."""
    assert merkle_root([b"a", b"b", b"c"]) != merkle_root([b"a", b"b", b"c", b"c"])


def test_the_root_binds_every_record_and_version() -> None:
    row = FrozenRow(record_id=UUID(int=9), version=1, customer_id=UUID(int=8))
    root = rows_root([row], by=SHA256)
    assert rows_root([replace(row, version=2)], by=SHA256) != root
    assert rows_root([replace(row, record_id=UUID(int=10))], by=SHA256) != root
    assert rows_root([row, row], by=SHA256) != root
    assert rows_root([row], by=SM3) != root


@pytest.mark.parametrize("by", HASHES)
def test_a_request_reads_back_as_it_was_written(by: str) -> None:
    request = replace(REQUEST, by=by)
    assert parse_request(request.body.decode()) == request
    none = replace(request, until=None, requester=None)
    assert parse_request(none.body.decode()) == none
    assert canonical(parse_canonical(request.body)) == request.body


@pytest.mark.parametrize("name", list(Request.__dataclass_fields__))
def test_the_digest_covers_every_part_of_a_request(name: str) -> None:
    old: Any = getattr(REQUEST, name)
    new: Any = {
        UUID: OTHER,
        int: 7,
        str: "other",
        bytes: b"\1" * 32,
        datetime: AT + timedelta(seconds=1),
        dict: {"name": "masked"},
    }[type(old)]
    new = SM3 if name == "by" else new
    assert replace(REQUEST, **{name: new}).digest != REQUEST.digest


@pytest.mark.parametrize(("by", "version", "before"), [(SHA256, 1, ""), (SM3, 2, "sm3:")])
def test_the_digest_is_the_one_the_format_says(by: str, version: int, before: str) -> None:
    request = replace(REQUEST, by=by)
    expected = hashed(by, b"custody/request/v1\0" + request.body)
    assert request.digest == Digest(by=by, value=expected)
    assert str(request.digest) == before + expected.hex()
    assert parse_canonical(request.body)["v"] == version


PINNED = {
    SHA256: (
        "50258e150a92a799fd7c305394443662a56216bf07a390db8385027efacaf0de",
        "8fc58c8840c1e0f335b5f401202b25af529bab9e2c89641437bbc3d94a7f9a4e",
    ),
    SM3: (
        "sm3:e4992a8e6d70b04264f6aecc38f5d64dc9bb204b92e4e518145a667695ecfd4e",
        "sm3:df66cde8149eb15120a5c0be7077c4202fd1ae6ed5ee1f9d828d4a7993a15f6c",
    ),
}


@pytest.mark.parametrize("by", HASHES)
def test_digests_are_what_they_were(by: str) -> None:
    assert (str(replace(REQUEST, by=by).digest), asked(ASK, by=by)) == PINNED[by]


def test_requests_under_either_hash_differ_in_their_format_alone() -> None:
    one, other = (parse_canonical(replace(REQUEST, by=by).body) for by in HASHES)
    assert one | {"v": 2} == other
    assert one != other


def test_no_digest_of_one_hash_reads_as_one_of_the_other() -> None:
    same = bytes(range(32))
    assert len({str(Digest(by=by, value=same)) for by in HASHES}) == len(HASHES)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace('"rows":2', '"rows": 2'),
        lambda body: body.replace('"rows":2,', ""),
        lambda body: body.replace('"v":1', '"v":3'),
        lambda body: body.replace('"v":1', '"v":"sm3"'),
        lambda body: body.replace('"basis":"consent"', '"basis":"consent","by":"sm3"'),
        lambda body: body.replace("req_", "cust_"),
        lambda body: body.replace("2026-11-23", "2026-13-23"),
        lambda body: body[:-1] + ',"zzz":1}',
        lambda _: "",
        lambda _: "[]",
        lambda _: "7",
    ],
)
def test_a_body_that_was_altered_is_no_request(change: Callable[[str], str]) -> None:
    with pytest.raises(RefusedError, match="digest_mismatch"):
        parse_request(change(REQUEST.body.decode()))


def test_an_ask_reads_back_as_it_was_written() -> None:
    for ask in (
        ASK,
        replace(ASK, customers=(UUID(int=5), UUID(int=6))),
        replace(ASK, customers=()),
    ):
        assert Ask.from_plain(parse_canonical(canonical(ask.to_plain()))) == ask


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "profiling"},
        {"dataset": "profiles"},
        {"fields": {"name": CLEAR, "mobile": CLEAR}},
        {"until": AT + timedelta(seconds=1)},
        {"customers": ()},
        {"customers": (UUID(int=5),)},
        {"form": "xlsx"},
        {"kind": TRANSFER, "recipient": "rescue_partner"},
    ],
)
def test_the_signature_on_an_ask_covers_all_of_it(change: dict[str, Any]) -> None:
    assert asked(replace(ASK, **change)) != asked(ASK)


def asked(ask: Ask, request_id: UUID | None = None, *, by: str = SHA256) -> str:
    return str(ask_digest(INSTALLATION, ask, request_id, by=by))


def test_an_ask_is_signed_for_one_installation_and_one_request_by_one_hash() -> None:
    digests = {
        asked(ASK),
        str(ask_digest(OTHER, ASK, by=SHA256)),
        asked(ASK, UUID(int=3)),
        asked(ASK, UUID(int=4)),
        asked(ASK, by=SM3),
    }
    assert len(digests) == 5


@pytest.mark.parametrize("by", HASHES)
def test_an_ask_is_digested_as_the_format_says(by: str) -> None:
    plain = {"installation": show_id(INSTALLATION_KIND, INSTALLATION), "request": ""}
    message = b"custody/ask/v1\0" + canonical(plain | {"ask": ASK.to_plain()})
    assert ask_digest(INSTALLATION, ASK, by=by).value == hashed(by, message)


def test_the_order_of_customers_is_not_part_of_what_is_asked() -> None:
    one = replace(ASK, customers=(UUID(int=5), UUID(int=6)))
    other = replace(ASK, customers=(UUID(int=6), UUID(int=5)))
    assert asked(one) == asked(other)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "destroy"},
        {"form": "pdf"},
        {"fields": {"name": "plain"}},
        {"recipient": "rescue_partner"},
        {"kind": TRANSFER},
    ],
)
def test_an_ask_that_means_nothing_is_a_wrong_call(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(ASK, **change)


def test_a_reading_is_signed_for_its_grant_customers_and_limit_by_one_hash() -> None:
    digests = {
        str(read_digest(INSTALLATION, "grant_1", None, 1, by=SHA256)),
        str(read_digest(INSTALLATION, "grant_2", None, 1, by=SHA256)),
        str(read_digest(INSTALLATION, "grant_1", (), 1, by=SHA256)),
        str(read_digest(INSTALLATION, "grant_1", (UUID(int=5),), 1, by=SHA256)),
        str(read_digest(INSTALLATION, "grant_1", None, 2, by=SHA256)),
        str(read_digest(OTHER, "grant_1", None, 1, by=SHA256)),
        str(read_digest(INSTALLATION, "grant_1", None, 1, by=SM3)),
    }
    assert len(digests) == 7


def test_the_fingerprint_is_of_the_key_as_it_is_written() -> None:
    assert key_fingerprint("age1x") == hashlib.sha256(b"age1x").hexdigest()
    assert key_fingerprint("") == ""


def minutes(*offsets: float) -> list[datetime]:
    return [AT + timedelta(minutes=offset) for offset in offsets]


@pytest.mark.parametrize(
    ("failures", "now", "locked"),
    [
        ((), 0, False),
        ((0, 1, 2, 3), 4, False),
        ((0, 1, 2, 3, 4), 4, True),
        ((0, 1, 2, 3, 4), 33.9, True),
        ((0, 1, 2, 3, 4), 34, False),
        ((0, 5, 10, 14, 15), 15, True),
        ((0, 5, 10, 14, 15.1), 15.1, False),
        ((0, 60, 61, 62, 63, 64), 90, True),
        (tuple(range(0, 1000, 101)), 1500, True),
        (tuple(range(0, 1000, 101)), 999_999, True),
        (tuple(range(0, 1800, 180)), 1700, False),
        ((0, 160, 320, 480, 640, 800, 960, 1120, 1280, 1440), 9999, True),
        ((0, 160, 320, 480, 640, 800, 960, 1120, 1280, 1441), 9999, False),
    ],
)
def test_failures_lock_for_half_an_hour_or_until_unlocked(
    failures: tuple[float, ...], now: float, *, locked: bool
) -> None:
    assert is_locked(minutes(*failures), AT + timedelta(minutes=now)) is locked
