"""The seal opens where it was made and nowhere else, and its bytes are what the docstring draws."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256, SM3
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from custody.seal import (
    DataKey,
    SealInvalidError,
    WrappingKey,
    encode_context,
    is_under,
    new_key,
    open_seal,
    seal,
    suite_of,
)
from custody.suites import AES_256_GCM, SM4_GCM, SUITES, Suite, SuiteRetiredError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "seal.json").read_text("utf-8"))


class Sm4:
    """SM4-GCM by the library's plain steps."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        steps = Cipher(algorithms.SM4(self.key), modes.GCM(nonce)).encryptor()
        steps.authenticate_additional_data(bound)
        return steps.update(data) + steps.finalize() + steps.tag


DIGESTS = {1: SHA256(), 2: SM3(), 3: SHA256()}
CIPHERS: dict[int, Any] = {1: AESGCM, 2: Sm4, 3: AESGCMSIV}
CONTEXT = (b"installation", b"customer", b"dataset", b"record", b"general", b"\0\0\0\1")


@pytest.fixture
def key() -> DataKey:
    return new_key(uuid4())


def from_vector(part: str) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    vector = VECTORS[part]
    return vector, tuple(bytes.fromhex(one) for one in vector["context"])


def counting(number: int) -> bytes:
    return bytes(range(number))


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_the_committed_seal_is_made_of_published_primitives_as_drawn(suite: Suite) -> None:
    vector, context = from_vector("seal")
    info = b"custody/data-key/v1" + bytes((suite.number,))
    material = HKDFExpand(
        algorithm=DIGESTS[suite.number], length=suite.key_bytes + 16, info=info
    ).derive(bytes.fromhex(vector["key"]))
    key, commitment = material[: suite.key_bytes], material[suite.key_bytes :]
    header = bytes((0xC5, 1, suite.number, 0)) + UUID(vector["key_id"]).bytes + commitment
    bound = header + b"".join(len(part).to_bytes(4, "big") + part for part in context)
    nonce = bytes.fromhex(vector["nonce"])
    body = CIPHERS[suite.number](key).encrypt(nonce, vector["plaintext"].encode(), bound)
    assert (header + nonce + body).hex() == vector["sealed"][suite.name]


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_the_committed_seal_comes_out_of_this_code_and_opens_with_it(suite: Suite) -> None:
    vector, context = from_vector("seal")
    key = DataKey(UUID(vector["key_id"]), bytes.fromhex(vector["key"]))
    sealed = seal(key, vector["plaintext"].encode(), context, suite, counting)
    assert sealed.hex() == vector["sealed"][suite.name]
    assert open_seal(key, sealed, context).decode() == vector["plaintext"]
    assert suite_of(sealed) is suite


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_the_committed_wrapped_key_is_made_of_published_primitives_as_drawn(suite: Suite) -> None:
    vector, context = from_vector("wrap")
    secret, info = bytes.fromhex(vector["secret"]), b"custody/wrapping-key/v1"
    material = HKDFExpand(
        algorithm=DIGESTS[suite.number],
        length=suite.key_bytes + 16,
        info=info + bytes((suite.number,)),
    ).derive(bytes.fromhex(vector["kek"]))
    nonce, prefix = bytes.fromhex(vector["nonce"]), bytes((1, suite.number))
    bound = prefix + encode_context(context)
    body = CIPHERS[suite.number](material[: suite.key_bytes]).encrypt(nonce, secret, bound)
    by_hand = prefix + nonce + body
    assert by_hand.hex() == vector["wrapped"][suite.name]
    kek = WrappingKey(bytes.fromhex(vector["kek"]))
    assert kek.wrap(secret, context, suite, counting) == by_hand
    assert kek.unwrap(by_hand, context) == secret


def test_a_retired_suite_opens_and_seals_no_more(key: DataKey, monkeypatch: Any) -> None:
    sealed = seal(key, b"plain", CONTEXT, SM4_GCM)
    retired = replace(SM4_GCM, retired=True)
    monkeypatch.setitem(SUITES, retired.number, retired)
    assert open_seal(key, sealed, CONTEXT) == b"plain"
    with pytest.raises(SuiteRetiredError):
        seal(key, b"plain", CONTEXT, retired)
    with pytest.raises(SuiteRetiredError):
        WrappingKey(bytes(32)).wrap(bytes(32), CONTEXT, retired)


def test_the_suites_of_one_secret_have_nothing_in_common(key: DataKey) -> None:
    commitments = {key.halves(suite)[1] for suite in SUITES.values()}
    assert len(commitments) == len(SUITES)
    sealed = bytearray(seal(key, b"plain", CONTEXT, SM4_GCM))
    sealed[2] = AES_256_GCM.number
    assert does_open(lambda: open_seal(key, bytes(sealed), CONTEXT)) == []


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_flipped_bit_opens(key: DataKey, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    opened = []
    for place in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        opened += does_open(lambda altered=altered: open_seal(key, bytes(altered), CONTEXT))
    assert opened == []


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_truncation_and_no_extension_opens(key: DataKey, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    shorter = [sealed[:length] for length in range(len(sealed))]
    for altered in [*shorter, sealed + b"\0", b""]:
        assert does_open(lambda altered=altered: open_seal(key, altered, CONTEXT)) == []


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("part", range(len(CONTEXT)))
def test_no_other_context_opens(key: DataKey, part: int, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    other = tuple(b"other" if place == part else one for place, one in enumerate(CONTEXT))
    assert does_open(lambda: open_seal(key, sealed, other)) == []


def test_parts_of_a_context_cannot_run_into_each_other(key: DataKey) -> None:
    sealed = seal(key, b"plain", (b"ab", b"c"), AES_256_GCM)
    assert does_open(lambda: open_seal(key, sealed, (b"a", b"bc"))) == []
    careless = b"".join((b"ab", b"c")) == b"".join((b"a", b"bc"))
    assert careless, "without lengths the two contexts would be the same"


def test_another_key_with_the_same_id_does_not_open(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT, AES_256_GCM)
    assert does_open(lambda: open_seal(new_key(key.key_id), sealed, CONTEXT)) == []


def test_a_failure_says_nothing_about_its_cause(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT, AES_256_GCM)
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
    assert seal(key, b"plain", CONTEXT, AES_256_GCM) != seal(key, b"plain", CONTEXT, AES_256_GCM)


def test_a_seal_names_its_key(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT, AES_256_GCM)
    assert is_under(sealed, key.key_id)
    assert not is_under(sealed, UUID(int=key.key_id.int ^ 1))
    assert not is_under(b"short", key.key_id)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_a_wrapped_key_opens_in_its_own_context_only(suite: Suite) -> None:
    secret, context = bytes(range(100, 132)), (b"customer", b"period")
    kek = WrappingKey(secret)
    wrapped = kek.wrap(bytes(range(32)), context, suite)
    other = WrappingKey(secret[:-1] + b"\1")
    assert does_open(lambda: kek.unwrap(wrapped, (b"other", b"period"))) == []
    assert does_open(lambda: other.unwrap(wrapped, context)) == []
    for place in range(len(wrapped) * 8):
        altered = bytearray(wrapped)
        altered[place // 8] ^= 1 << place % 8
        assert does_open(lambda a=altered: kek.unwrap(bytes(a), context)) == []
    for length in range(len(wrapped)):
        assert does_open(lambda n=length: kek.unwrap(wrapped[:n], context)) == []
    assert not [shown for shown in (secret.hex(), repr(secret)[2:-1]) if shown in repr(kek)]


def does_open(attempt: Callable[[], bytes]) -> list[bytes]:
    """Return what came out, nothing where it did not open."""
    try:
        return [attempt()]
    except SealInvalidError:
        return []
