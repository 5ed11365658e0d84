"""Suites: the cipher and the hash behind a seal or a wrapped key, by the number it bears.

======  ================  ================================  =========  ==========================
number  name              cipher                            key bytes  derivation and commitment
======  ================  ================================  =========  ==========================
1       aes-256-gcm       AES-256-GCM (NIST SP 800-38D)     32         HKDF-SHA-256 (RFC 5869)
2       sm4-gcm           SM4-GCM (GB/T 32907, RFC 8998)    16         HKDF-SM3 (GB/T 32905)
3       aes-256-gcm-siv   AES-256-GCM-SIV (RFC 8452)        32         HKDF-SHA-256
======  ================  ================================  =========  ==========================

All have a nonce of 12 bytes and a tag of 16. A new suite is one entry of the registry. One that
must not be used any more is marked ``retired``: it still opens, and nothing is sealed under it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256, SM3, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from custody.errors import CustodyError, UsageError

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
COMMITMENT_BYTES: Final = 16


class Aead(Protocol):
    """An authenticated cipher under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return ciphertext and tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the plaintext; InvalidTag or ValueError if anything was altered."""


class SuiteRetiredError(CustodyError):
    """Nothing is sealed under this suite any more; what was, still opens."""

    code = "suite_retired"

    def __str__(self) -> str:
        """Return which suite."""
        return f"nothing is sealed under {self.args[0]} any more"


class Sm4Gcm:
    """SM4 in Galois/Counter mode, with the face of the library's other authenticated ciphers."""

    def __init__(self, key: bytes) -> None:
        """Take a key of 16 bytes."""
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return ciphertext and tag."""
        encryptor = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data)
        sealed = encryptor.update(data) + encryptor.finalize()
        return sealed + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the plaintext.

        Raises:
            InvalidTag: Something was altered or cut; nothing of the plaintext is given out.
        """
        if len(data) < TAG_BYTES:
            raise InvalidTag
        mode = modes.GCM(nonce, data[-TAG_BYTES:])
        decryptor = Cipher(self._algorithm, mode).decryptor()
        decryptor.authenticate_additional_data(associated_data)
        return decryptor.update(data[:-TAG_BYTES]) + decryptor.finalize()


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A cipher with the hash that derives its keys.

    Attributes:
        number: What the header of a seal says.
        cipher: Makes the cipher from a key of ``key_bytes``.
        digest: The hash of HKDF-Expand.
        retired: Whether it only opens.
    """

    number: int
    name: str
    cipher: Callable[[bytes], Aead]
    key_bytes: int
    digest: HashAlgorithm = field(compare=False)
    retired: bool = False

    def split(self, secret: bytes, label: bytes) -> tuple[Aead, bytes]:
        """Return the cipher and the commitment that ``secret`` stands for under ``label``.

        The label and the suite's number enter the derivation, so the same secret has unrelated
        keys in every suite and use.
        """
        length = self.key_bytes + COMMITMENT_BYTES
        info = label + bytes((self.number,))
        material = HKDFExpand(algorithm=self.digest, length=length, info=info).derive(secret)
        return self.cipher(material[: self.key_bytes]), material[self.key_bytes :]

    def require_in_use(self) -> "Suite":
        """Return the suite.

        Raises:
            SuiteRetiredError: It only opens.
        """
        if self.retired:
            raise SuiteRetiredError(self.name)
        return self


AES_256_GCM: Final = Suite(
    number=1, name="aes-256-gcm", cipher=AESGCM, key_bytes=32, digest=SHA256()
)
SM4_GCM: Final = Suite(number=2, name="sm4-gcm", cipher=Sm4Gcm, key_bytes=16, digest=SM3())
AES_256_GCM_SIV: Final = Suite(
    number=3, name="aes-256-gcm-siv", cipher=AESGCMSIV, key_bytes=32, digest=SHA256()
)
SUITES: Final = {one.number: one for one in (AES_256_GCM, SM4_GCM, AES_256_GCM_SIV)}
# What a policy calls them: the international suite, that of GM/T, and the one that forgives nonces.
CHOICES: Final = {"intl": AES_256_GCM, "gm": SM4_GCM, "intl-siv": AES_256_GCM_SIV}


def suite_named(name: str) -> Suite:
    """Return the suite called ``name``.

    Raises:
        UsageError: There is none.
    """
    for suite in SUITES.values():
        if suite.name == name:
            return suite
    raise UsageError("no such suite", name)
