"""The seal opens where it was made and nowhere else, and its bytes are what the docstring draws."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from custody.seal import (
    DataKey,
    SealInvalidError,
    encode_context,
    key_id_of,
    new_key,
    open_seal,
    seal,
    unwrap,
    wrap,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "seal.json").read_text("utf-8"))
CONTEXT = (b"installation", b"customer", b"dataset", b"record", b"general", b"\0\0\0\1")


@pytest.fixture
def key() -> DataKey:
    return new_key(uuid4())


def from_vector(part: str) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    vector = VECTORS[part]
    return vector, tuple(bytes.fromhex(one) for one in vector["context"])


def counting(number: int) -> bytes:
    return bytes(range(number))


def test_the_committed_seal_is_made_of_published_primitives_as_drawn() -> None:
    vector, context = from_vector("seal")
    derived = HKDFExpand(algorithm=SHA256(), length=48, info=b"custody/data-key/v1").derive(
        bytes.fromhex(vector["key"])
    )
    header = bytes((0xC5, 1, 1, 0)) + UUID(vector["key_id"]).bytes + derived[32:]
    bound = header + b"".join(len(part).to_bytes(4, "big") + part for part in context)
    nonce = bytes.fromhex(vector["nonce"])
    body = AESGCM(derived[:32]).encrypt(nonce, vector["plaintext"].encode(), bound)
    assert (header + nonce + body).hex() == vector["sealed"]


def test_the_committed_seal_comes_out_of_this_code_and_opens_with_it() -> None:
    vector, context = from_vector("seal")
    key = DataKey(UUID(vector["key_id"]), bytes.fromhex(vector["key"]))
    sealed = seal(key, vector["plaintext"].encode(), context, counting)
    assert sealed.hex() == vector["sealed"]
    assert open_seal(key, sealed, context).decode() == vector["plaintext"]


def test_the_committed_wrapped_key_is_made_of_published_primitives_as_drawn() -> None:
    vector, context = from_vector("wrap")
    kek, secret = AESGCM(bytes.fromhex(vector["kek"])), bytes.fromhex(vector["secret"])
    bound = bytes((1, 1)) + encode_context(context)
    nonce = bytes.fromhex(vector["nonce"])
    by_hand = bytes((1, 1)) + nonce + kek.encrypt(nonce, secret, bound)
    assert by_hand.hex() == vector["wrapped"]
    assert wrap(kek, secret, context, counting) == by_hand
    assert unwrap(kek, by_hand, context) == secret


def test_no_flipped_bit_opens(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT)
    opened = []
    for place in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        opened += does_open(lambda altered=altered: open_seal(key, bytes(altered), CONTEXT))
    assert opened == []


def test_no_truncation_and_no_extension_opens(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT)
    shorter = [sealed[:length] for length in range(len(sealed))]
    for altered in [*shorter, sealed + b"\0", b""]:
        assert does_open(lambda altered=altered: open_seal(key, altered, CONTEXT)) == []


@pytest.mark.parametrize("part", range(len(CONTEXT)))
def test_no_other_context_opens(key: DataKey, part: int) -> None:
    sealed = seal(key, b"plain", CONTEXT)
    other = tuple(b"other" if place == part else one for place, one in enumerate(CONTEXT))
    assert does_open(lambda: open_seal(key, sealed, other)) == []


def test_parts_of_a_context_cannot_run_into_each_other(key: DataKey) -> None:
    sealed = seal(key, b"plain", (b"ab", b"c"))
    assert does_open(lambda: open_seal(key, sealed, (b"a", b"bc"))) == []
    careless = b"".join((b"ab", b"c")) == b"".join((b"a", b"bc"))
    assert careless, "without lengths the two contexts would be the same"


def test_another_key_with_the_same_id_does_not_open(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT)
    assert does_open(lambda: open_seal(new_key(key.key_id), sealed, CONTEXT)) == []


def test_a_failure_says_nothing_about_its_cause(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT)
    said = set()
    for attempt in (
        lambda: open_seal(key, sealed[:-1], CONTEXT),
        lambda: open_seal(key, sealed, CONTEXT[:-1]),
        lambda: open_seal(new_key(key.key_id), sealed, CONTEXT),
    ):
        with pytest.raises(SealInvalidError) as failure:
            attempt()
        said.add((str(failure.value), failure.value.args, failure.value.__cause__))
    assert len(said) == 1


def test_a_key_never_shows_its_secret(key: DataKey) -> None:
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_two_seals_of_the_same_differ(key: DataKey) -> None:
    assert seal(key, b"plain", CONTEXT) != seal(key, b"plain", CONTEXT)


def test_a_seal_names_its_key(key: DataKey) -> None:
    assert key_id_of(seal(key, b"plain", CONTEXT)) == key.key_id
    with pytest.raises(SealInvalidError):
        key_id_of(b"short")


def test_a_wrapped_key_opens_in_its_own_context_only() -> None:
    kek = AESGCM(bytes(32))
    wrapped = wrap(kek, bytes(range(32)), (b"customer", b"period"))
    assert does_open(lambda: unwrap(kek, wrapped, (b"other", b"period"))) == []
    assert does_open(lambda: unwrap(AESGCM(bytes(31) + b"\1"), wrapped, (b"customer",))) == []
    for place in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[place] ^= 1
        found = does_open(lambda a=altered: unwrap(kek, bytes(a), (b"customer", b"period")))
        assert found == []


def does_open(attempt: Callable[[], bytes]) -> list[bytes]:
    """Return what came out, nothing where it did not open."""
    try:
        return [attempt()]
    except SealInvalidError:
        return []
