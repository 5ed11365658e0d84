"""The root key: random always; it wraps every entry of the keystore.

Two providers, both local: a **key file** (64 hexadecimal digits, mode 0600) holds the root
itself; a **passphrase** only wraps it, through Argon2id (RFC 9106) with the parameters kept
beside it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from custody.errors import CustodyError, UsageError
from custody.seal import KEY_BYTES, SealInvalidError, unwrap, wrap

ITERATIONS: Final = 3
LANES: Final = 4
MEMORY_KIB: Final = 64 * 1024
_SALT_BYTES: Final = 16
_CONTEXT: Final = b"custody/root/v1"


class RootUnavailableError(CustodyError):
    """The root key cannot be had: no key file, the wrong one, or the wrong passphrase."""

    code = "root_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        """Return why, without any path or secret."""
        return f"the root key is not available: {self.why}"


class Root(Protocol):
    """What a provider of the root key does: wrap and unwrap, never hand it over."""

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` wrapped for the entry called ``name``."""

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the secret of the entry called ``name``."""


class LocalRoot:
    """A root key in this process's memory, from a key file or a passphrase."""

    def __init__(self, installation: bytes, secret: bytes) -> None:
        self._installation = installation
        self._kek = AESGCM(secret)

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` wrapped for the entry called ``name``."""
        return wrap(self._kek, secret, (self._installation, name.encode()))

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the secret of the entry called ``name``.

        Raises:
            RootUnavailableError: The root is not the one that wrapped it, or the entry was altered.
        """
        try:
            return unwrap(self._kek, wrapped, (self._installation, name.encode()))
        except SealInvalidError:
            raise RootUnavailableError(f"keystore entry {name} does not open") from None


def create_root(key_file: Path, passphrase: bytes | None) -> tuple[bytes, dict[str, Any]]:
    """Make a new root key and return it with the description that the keystore keeps.

    Raises:
        RootUnavailableError: The key file exists already.
    """
    secret = os.urandom(KEY_BYTES)
    if passphrase is not None:
        return secret, _under_passphrase(secret, passphrase)
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RootUnavailableError("a key file is there already") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret, {"kind": "key-file"}


def open_root(described: Mapping[str, Any], key_file: Path, passphrase: bytes | None) -> bytes:
    """Return the root key that ``described`` (the keystore's own words) refers to.

    Raises:
        RootUnavailableError: It cannot be read, or the passphrase is wrong.
        UsageError: The keystore needs a passphrase and none was given.
    """
    if described["kind"] == "key-file":
        return _read_key_file(key_file)
    if passphrase is None:
        raise UsageError("this installation's keys need a passphrase: set CUSTODY_PASSPHRASE_FILE")
    kek = _stretch(passphrase, bytes.fromhex(described["salt"]), described)
    try:
        return unwrap(kek, bytes.fromhex(described["wrapped"]), (_CONTEXT,))
    except SealInvalidError:
        raise RootUnavailableError("the passphrase is wrong") from None


def _read_key_file(key_file: Path) -> bytes:
    try:
        secret = bytes.fromhex(key_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise RootUnavailableError("the key file cannot be read") from None
    if len(secret) != KEY_BYTES:
        raise RootUnavailableError("the key file does not hold 256 bits")
    return secret


def _under_passphrase(secret: bytes, passphrase: bytes) -> dict[str, Any]:
    parameters = {"iterations": ITERATIONS, "lanes": LANES, "memory_kib": MEMORY_KIB}
    salt = os.urandom(_SALT_BYTES)
    wrapped = wrap(_stretch(passphrase, salt, parameters), secret, (_CONTEXT,))
    return {"kind": "passphrase", "salt": salt.hex(), "wrapped": wrapped.hex(), **parameters}


def _stretch(passphrase: bytes, salt: bytes, parameters: Mapping[str, Any]) -> AESGCM:
    argon2 = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=parameters["iterations"],
        lanes=parameters["lanes"],
        memory_cost=parameters["memory_kib"],
    )
    return AESGCM(argon2.derive(passphrase))
