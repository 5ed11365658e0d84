"""The primitives behind the suites agree with their published vectors, the invalid ones too."""

import json
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
    assert valid


def test_every_invalid_vector_is_refused() -> None:
    invalid = [case for case in VECTORS["aes-256-gcm"] if not case["valid"]]
    for case in invalid:
        key, nonce, associated = parts(case)
        sealed = bytes.fromhex(case["ciphertext"] + case["tag"])
        with pytest.raises(InvalidTag):
            suite_named("aes-256-gcm").cipher(key).decrypt(nonce, sealed, associated)
    assert len(invalid) == 191


@pytest.mark.parametrize(("name", "case"), CASES[::2])
def test_a_vector_with_any_bit_flipped_is_refused(name: str, case: dict[str, Any]) -> None:
    key, nonce, associated = parts(case)
    sealed = bytes.fromhex(case["ciphertext"] + case["tag"])
    cipher = suite_named(name).cipher(key)
    for place in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, bytes(altered), associated)
    with pytest.raises(InvalidTag):
        cipher.decrypt(nonce, sealed[:8], associated)


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
