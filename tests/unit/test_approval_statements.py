"""Signed statements: one form, one meaning, one use."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.errors import RefusedError
from custody.statements import (
    ACT,
    APPROVAL,
    ENROL,
    SESSION,
    UNLOCK,
    Signer,
    decode,
    encode,
    make_token,
    parse_token,
    require_signature,
    time_reasons,
)

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HERE = UUID(int=1)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SIGNER = Signer(sub=UUID(int=2), kid="kid", sign=KEY.sign)
OWN = {
    APPROVAL: {"rid": "req_1", "rev": 1, "dig": "aa", "dec": "approve"},
    ENROL: {"staff": "staff_1", "key": "k", "role": "approver"},
    UNLOCK: {"staff": "staff_1"},
    SESSION: {"key": "k"},
    ACT: {"act": "read", "dig": "aa"},
}


def token(typ: str) -> str:
    return make_token(SIGNER, typ, OWN[typ], installation=HERE, at=AT)


@pytest.mark.parametrize("typ", OWN)
def test_every_type_reads_back_and_verifies(typ: str) -> None:
    statement = parse_token(token(typ), typ, installation=HERE)
    require_signature(statement, PUBLIC)
    assert (statement.sub, statement.kid, statement.iat) == (UUID(int=2), "kid", AT.timestamp())
    assert statement.exp - statement.iat == 600
    assert len(token(typ)) < 2048


@pytest.mark.parametrize("typ", OWN)
@pytest.mark.parametrize("wanted", OWN)
def test_no_type_passes_for_another(typ: str, wanted: str) -> None:
    if typ == wanted:
        return
    with pytest.raises(RefusedError, match="statement_invalid"):
        parse_token(token(typ), wanted, installation=HERE)


def test_a_statement_is_for_one_installation() -> None:
    with pytest.raises(RefusedError, match="aud"):
        parse_token(token(ACT), ACT, installation=UUID(int=9))


@pytest.mark.parametrize("public", [bytes(32), b"short", b"", PUBLIC[:31] + b"\0"])
def test_another_key_does_not_verify(public: bytes) -> None:
    statement = parse_token(token(ACT), ACT, installation=HERE)
    with pytest.raises(RefusedError, match="signature_invalid"):
        require_signature(statement, public)


def verify(altered: str) -> None:
    require_signature(parse_token(altered, APPROVAL, installation=HERE), PUBLIC)


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=0, max_value=7))
@settings(max_examples=200, deadline=None)
def test_no_bit_of_a_token_can_be_changed(place: int, bit: int) -> None:
    good = token(APPROVAL)
    raw = bytearray(good.encode())
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(RefusedError):
        verify(raw.decode("latin-1"))


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    for candidate in (text, f"{text}.{text}", f"{encode(text.encode())}.AA"):
        with pytest.raises(RefusedError):
            parse_token(candidate, ACT, installation=HERE)


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (-61, "statement_expired"),
        (-60, None),
        (0, None),
        (600, None),
        (601, "statement_expired"),
    ],
)
def test_a_statement_is_of_now(offset: int, code: str | None) -> None:
    statement = parse_token(token(ACT), ACT, installation=HERE)
    reasons = time_reasons(statement, AT + timedelta(seconds=offset))
    assert [reason.code for reason in reasons] == ([code] if code else [])


@pytest.mark.parametrize(("lasts", "good"), [(0, True), (600, True), (601, False), (-1, False)])
def test_a_statement_lasts_ten_minutes_at_most(lasts: int, *, good: bool) -> None:
    made = make_token(
        SIGNER, ACT, OWN[ACT], installation=HERE, at=AT, lasts=timedelta(seconds=lasts)
    )
    statement = parse_token(made, ACT, installation=HERE)
    invalid = [r for r in time_reasons(statement, AT) if r.code == "statement_invalid"]
    assert (not invalid) is good


def test_two_statements_are_never_the_same() -> None:
    assert token(ACT) != token(ACT)


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(raw: bytes) -> None:
    text = encode(raw)
    assert decode(text) == raw
    for other in (text + "=", text + " ", base64.b64encode(raw).decode() + "=="):
        with pytest.raises(RefusedError):
            decode(other)
