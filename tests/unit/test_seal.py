"""The seal opens where it was made and nowhere else, and its bytes are what the docstring draws."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256, SM3
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from refusals import Refusal, refusals_of, silent_error

from custody.seal import (
    HEADER_BYTES,
    DataKey,
    KeyMissingError,
    SealInvalidError,
    WrappingKey,
    encode_context,
    is_under,
    new_key,
    open_at,
    open_seal,
    seal,
    suite_of,
)
from custody.suites import (
    AES_256_GCM,
    NONCE_BYTES,
    SM4_GCM,
    SUITES,
    TAG_BYTES,
    Suite,
    SuiteRetiredError,
)

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

# What is said of a seal or a wrapped key that does not open.
SILENCE = {silent_error()}


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
    assert refusals_of([partial(open_seal, key, bytes(sealed), CONTEXT)]) == SILENCE


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_flipped_bit_opens(key: DataKey, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    attempts = [partial(open_seal, key, altered, CONTEXT) for altered in flipped(sealed)]
    assert len(attempts) == (HEADER_BYTES + len(b"plain") + TAG_BYTES) * 8
    assert refusals_of(attempts) == SILENCE


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_truncation_and_no_extension_opens(key: DataKey, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    from_behind = [sealed[:length] for length in range(len(sealed))]
    from_before = [sealed[start:] for start in range(1, len(sealed) + 1)]
    inside = [sealed[:place] + sealed[place + 1 :] for place in range(len(sealed))]
    longer = [sealed + b"\0", sealed + sealed, b"\0" + sealed]
    altered = [*from_behind, *from_before, *inside, *longer]
    assert refusals_of([partial(open_seal, key, one, CONTEXT) for one in altered]) == SILENCE


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("part", range(len(CONTEXT)))
def test_no_other_context_opens(key: DataKey, part: int, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    before, own, behind = CONTEXT[:part], CONTEXT[part], CONTEXT[part + 1 :]
    others = [
        (*before, b"other", *behind),
        (*before, b"", *behind),
        (*before, *behind),
        (*before, own, own, *behind),
    ]
    assert refusals_of([partial(open_seal, key, sealed, other) for other in others]) == SILENCE


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_two_parts_of_a_context_exchanged_open(key: DataKey, suite: Suite) -> None:
    sealed = seal(key, b"plain", CONTEXT, suite)
    for one, other in combinations(range(len(CONTEXT)), 2):
        parts = list(CONTEXT)
        parts[one], parts[other] = parts[other], parts[one]
        assert refusals_of([partial(open_seal, key, sealed, parts)]) == SILENCE


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_no_two_seals_with_a_part_exchanged_open(key: DataKey, suite: Suite) -> None:
    """Two seals of one key and one context: header, nonce, ciphertext and tag of each other."""
    one, other = (seal(key, text, CONTEXT, suite) for text in (b"plain", b"other"))
    nonce = slice(HEADER_BYTES - NONCE_BYTES, HEADER_BYTES)
    for part in (nonce, slice(HEADER_BYTES, -TAG_BYTES), slice(-TAG_BYTES, None)):
        altered = bytearray(one)
        altered[part] = other[part]
        assert refusals_of([partial(open_seal, key, bytes(altered), CONTEXT)]) == SILENCE


def test_parts_of_a_context_cannot_run_into_each_other(key: DataKey) -> None:
    sealed = seal(key, b"plain", (b"ab", b"c"), AES_256_GCM)
    assert refusals_of([partial(open_seal, key, sealed, (b"a", b"bc"))]) == SILENCE
    careless = b"".join((b"ab", b"c")) == b"".join((b"a", b"bc"))
    assert careless, "without lengths the two contexts would be the same"


def test_another_key_with_the_same_id_does_not_open(key: DataKey) -> None:
    sealed = seal(key, b"plain", CONTEXT, AES_256_GCM)
    assert refusals_of([partial(open_seal, new_key(key.key_id), sealed, CONTEXT)]) == SILENCE


@pytest.mark.parametrize("place", ["", "record 1, compartment general"])
@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_a_failure_says_nothing_about_its_cause(key: DataKey, suite: Suite, place: str) -> None:
    """One of each cause: format, suite, key id, commitment, nonce, tag, length, key, context."""
    sealed = seal(key, b"plain", CONTEXT, suite)
    altered = {at: with_byte(sealed, at) for at in (0, 1, 2, 3, 4, 20, 36, HEADER_BYTES, -1)}
    retold = with_byte(sealed, 2, of=next(n for n in SUITES if n != suite.number))
    seals = [*altered.values(), retold, sealed[:-1], sealed[:HEADER_BYTES], b"", b"plain text"]
    open_it = partial(open_at, place) if place else open_seal
    attempts = [
        *(partial(open_it, key, one, CONTEXT) for one in seals),
        partial(open_it, key, sealed, CONTEXT[:-1]),
        partial(open_it, new_key(key.key_id), sealed, CONTEXT),
        partial(open_it, new_key(uuid4()), sealed, CONTEXT),
    ]
    assert refusals_of(attempts) == {silent_error(place)}


def test_a_failure_that_told_its_cause_would_be_noticed(key: DataKey) -> None:
    """The naive twins: an error behind the error, a note, an argument, another kind, its place."""
    assert told_by(SealInvalidError()) == silent_error()
    for talkative in (behind_another, with_a_note, with_more_arguments, of_another_kind):
        with pytest.raises(SealInvalidError) as failure:
            talkative(seal(key, b"plain", CONTEXT, AES_256_GCM))
        assert told_by(failure.value) != silent_error()
    with pytest.raises(AssertionError, match="attempt 0 was not refused"):
        refusals_of([lambda: b"plain"])


def told_by(error: BaseException) -> Refusal:
    (told,) = refusals_of([partial(raise_it, error)])
    return told


def raise_it(error: BaseException) -> None:
    raise error


def behind_another(sealed: bytes) -> None:
    raise SealInvalidError from ValueError(len(sealed))


def with_a_note(sealed: bytes) -> None:
    error = SealInvalidError()
    error.add_note(f"tag {sealed[-16:].hex()}")
    raise error


def with_more_arguments(sealed: bytes) -> None:
    error = SealInvalidError()
    error.args = ("", sealed)
    raise error


def of_another_kind(_: bytes) -> None:
    raise KeyMissingError


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
    contexts = [(b"other", b"period"), (b"customer", b"other"), (b"period", b"customer"), ()]
    retold = [with_byte(wrapped, 1, of=number) for number in SUITES if number != suite.number]
    shorter = [wrapped[:length] for length in range(len(wrapped))]
    altered = [*flipped(wrapped), *retold, *shorter, wrapped + b"\0"]
    attempts = [
        *(partial(kek.unwrap, wrapped, one) for one in contexts),
        *(partial(kek.unwrap, one, context) for one in altered),
        partial(other.unwrap, wrapped, context),
    ]
    assert refusals_of(attempts) == SILENCE
    assert kek.unwrap(wrapped, context) == bytes(range(32))
    assert not [shown for shown in (secret.hex(), repr(secret)[2:-1]) if shown in repr(kek)]


def flipped(content: bytes) -> Iterator[bytes]:
    """Yield the content with each of its bits flipped, one at a time."""
    for place in range(len(content) * 8):
        altered = bytearray(content)
        altered[place // 8] ^= 1 << place % 8
        yield bytes(altered)


def with_byte(content: bytes, at: int, of: int | None = None) -> bytes:
    """Return the content with the byte of a place changed."""
    altered = bytearray(content)
    altered[at] = altered[at] ^ 0xFF if of is None else of
    return bytes(altered)
