"""The primitives behind the suites agree with their published vectors, the invalid ones too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256, SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from custody.errors import UsageError
from custody.suites import CHOICES, SUITES, suite_named

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "primitives.json").read_text("utf-8"))
CIPHERS = ("aes-256-gcm", "aes-256-gcm-siv", "sm4-gcm")
VALID = {"aes-256-gcm": 46, "aes-256-gcm-siv": 55, "sm4-gcm": 26}
INVALID = {"aes-256-gcm": 191, "aes-256-gcm-siv": 34, "sm4-gcm": 27}
CASES = [(name, case) for name in CIPHERS for case in VECTORS[name] if case["valid"]]


def parts(case: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(case[one]) for one in ("key", "nonce", "associated"))


@pytest.mark.parametrize("name", CIPHERS)
def test_a_cipher_does_what_its_vectors_say(name: str) -> None:
    valid = [case for case in VECTORS[name] if case["valid"]]
    for case in valid:
        key, nonce, associated = parts(case)
        cipher = suite_named(name).cipher(key)
        sealed = bytes.fromhex(case["ciphertext"] + case["tag"])
        plaintext = bytes.fromhex(case["plaintext"])
        assert cipher.encrypt(nonce, plaintext, associated) == sealed
        assert cipher.decrypt(nonce, sealed, associated) == plaintext
    assert len(valid) == VALID[name]


@pytest.mark.parametrize("name", CIPHERS)
def test_every_invalid_vector_is_refused(name: str) -> None:
    invalid = [case for case in VECTORS[name] if not case["valid"]]
    opened = []
    for case in invalid:
        key, nonce, associated = parts(case)
        sealed = bytes.fromhex(case["ciphertext"] + case["tag"])
        opened += what_opens(name, key, nonce, associated, sealed)
    assert opened == []
    assert len(invalid) == INVALID[name]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_vector_with_any_bit_flipped_is_refused(name: str, case: dict[str, Any]) -> None:
    """Any bit of key, nonce, associated data, ciphertext and tag, and any length but the right one.

    So the one vector of RFC 8998 is refused in 1,104 ways, beside those published as invalid.
    """
    whole = [*parts(case), bytes.fromhex(case["ciphertext"] + case["tag"])]
    assert what_opens(name, *whole) == [bytes.fromhex(case["plaintext"])]
    opened = []
    for place, part in enumerate(whole):
        for altered in flipped(part):
            opened += what_opens(name, *whole[:place], altered, *whole[place + 1 :])
    for length in range(len(whole[-1])):
        opened += what_opens(name, *whole[:-1], whole[-1][:length])
    assert opened == []


def what_opens(
    name: str, key: bytes, nonce: bytes, associated: bytes, sealed: bytes
) -> list[bytes]:
    """Return what a suite's cipher makes of it, nothing where it refuses."""
    try:
        return [suite_named(name).cipher(key).decrypt(nonce, sealed, associated)]
    except InvalidTag:
        return []


def flipped(content: bytes) -> Iterator[bytes]:
    """Yield the content with each of its bits flipped, one at a time."""
    for place in range(len(content) * 8):
        altered = bytearray(content)
        altered[place // 8] ^= 1 << place % 8
        yield bytes(altered)


@pytest.mark.parametrize("case", VECTORS["sm3"])
def test_sm3(case: dict[str, str]) -> None:
    running = Hash(SM3())
    running.update(bytes.fromhex(case["message"]))
    assert running.finalize().hex() == case["digest"]


@pytest.mark.parametrize("case", VECTORS["hkdf-sha256"])
def test_hkdf(case: dict[str, Any]) -> None:
    info = bytes.fromhex(case["info"])
    expand = HKDFExpand(algorithm=SHA256(), length=case["length"], info=info)
    assert expand.derive(bytes.fromhex(case["prk"])).hex() == case["okm"]


@pytest.mark.parametrize("case", VECTORS["hmac-sha256"])
def test_hmac(case: dict[str, str]) -> None:
    running = HMAC(bytes.fromhex(case["key"]), SHA256())
    running.update(bytes.fromhex(case["message"]))
    assert running.finalize().hex().startswith(case["mac"])


def test_every_suite_has_a_number_a_name_and_the_policy_its_choice() -> None:
    assert {number: one.number for number, one in SUITES.items()} == {1: 1, 2: 2, 3: 3}
    assert len({one.name for one in SUITES.values()}) == 3
    assert set(CHOICES.values()) == set(SUITES.values())
    with pytest.raises(UsageError):
        suite_named("rot13")
