"""The root key: random always, one per generation; it wraps every entry of the keystore.

A provider keeps it. Between a rotation's first and last step it keeps two generations, else one.
Three are there: a **key file**, a **passphrase**, and a PKCS#11 token (:mod:`custody.keys.token`).

A key file (mode 0600) has one line per generation::

    <generation, decimal> <64 hexadecimal digits>

A passphrase only wraps the root, through Argon2id (RFC 9106), and the keystore itself keeps the
wrapped root with salt and parameters; it is destroyed where the keystore is replaced.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from custody.errors import CustodyError, UsageError
from custody.keys.replacing import read_replaced, replace_file
from custody.seal import KEY_BYTES, SealInvalidError, WrappingKey
from custody.suites import AES_256_GCM, Suite

ITERATIONS: Final = 3
LANES: Final = 4
MEMORY_KIB: Final = 64 * 1024
_SALT_BYTES: Final = 16
_CONTEXT: Final = b"custody/root/v1"

Description: TypeAlias = Mapping[str, Any]


class RootUnavailableError(CustodyError):
    """The root key cannot be had: no key file, the wrong one, or the wrong passphrase."""

    code = "root_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        """Return why, without any path or secret."""
        return f"the root key is not available: {self.why}"


class RootSilentError(RootUnavailableError):
    """Whoever keeps the root key does not answer in time."""


class Root(Protocol):
    """One generation of the root key: wraps and unwraps, never hands itself over."""

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` wrapped for the entry called ``name``."""

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the secret of the entry called ``name``.

        Raises:
            RootUnavailableError: It does not open, or the provider does not answer.
        """


class RootProvider(Protocol):
    """Who keeps the root keys of one installation."""

    @property
    def kind(self) -> str:
        """What the keystore calls it."""

    def create(self, installation: bytes, generation: int) -> tuple[Root, Description]:
        """Make a root of a generation and return it with what the keystore keeps to find it.

        One that a killed rotation left under the same generation is replaced.
        """

    def open(self, installation: bytes, described: Description) -> Root:
        """Return the root that ``described`` refers to.

        Raises:
            RootUnavailableError: It is destroyed, or cannot be had.
        """

    def destroy(self, described: Description) -> None:
        """Destroy that root for good; running it again is success."""


class LocalRoot:
    """A root key in this process's memory, from a key file or a passphrase."""

    def __init__(self, installation: bytes, secret: bytes, suite: Suite) -> None:
        self._installation = installation
        self._kek = WrappingKey(secret)
        self._suite = suite

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` wrapped, under the suite, for the entry called ``name``."""
        return self._kek.wrap(secret, (self._installation, name.encode()), self._suite)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the secret of the entry called ``name``.

        Raises:
            RootUnavailableError: The root is not the one that wrapped it, or the entry was altered.
        """
        try:
            return self._kek.unwrap(wrapped, (self._installation, name.encode()))
        except SealInvalidError:
            raise RootUnavailableError(f"keystore entry {name} does not open") from None


class KeyFileProvider:
    """Root keys as lines of a private file."""

    kind = "key-file"

    def __init__(self, path: Path, suite: Suite = AES_256_GCM) -> None:
        """Take the file, and the suite under which entries are wrapped from now on."""
        self._path, self._suite = path, suite

    def create(self, installation: bytes, generation: int) -> tuple[Root, Description]:
        """Add a generation to the file.

        Raises:
            RootUnavailableError: The first generation finds a key file there already.
        """
        if generation == 1 and self._path.exists():
            raise RootUnavailableError("a key file is there already")
        known = self._read() if self._path.exists() else {}
        secret = os.urandom(KEY_BYTES)
        self._write({**known, generation: secret})
        described = {"kind": self.kind, "generation": generation}
        return LocalRoot(installation, secret, self._suite), described

    def open(self, installation: bytes, described: Description) -> Root:
        """Return the root of the generation.

        Raises:
            RootUnavailableError: The file cannot be read, or has no such generation.
        """
        secret = self._read().get(described["generation"])
        if secret is None:
            raise RootUnavailableError("the key file has not the keystore's generation")
        return LocalRoot(installation, secret, self._suite)

    def destroy(self, described: Description) -> None:
        """Write the file without the generation, and overwrite what stood there."""
        known = self._read()
        if known.pop(described["generation"], None) is not None:
            self._write(known)

    def _read(self) -> dict[int, bytes]:
        known = read_replaced(self._path, _roots)
        if known is None:
            raise RootUnavailableError("the key file cannot be read, or holds no 256 bits")
        return known

    def _write(self, known: Mapping[int, bytes]) -> None:
        lines = [f"{generation} {secret.hex()}\n" for generation, secret in sorted(known.items())]
        replace_file(self._path, "".join(lines).encode())


def _roots(content: bytes) -> dict[int, bytes]:
    """Return the secrets of a key file by generation; ValueError where it is none."""
    pairs = [line.split(" ") for line in content.decode("ascii").splitlines()]
    known = {int(generation): bytes.fromhex(secret) for generation, secret in pairs}
    if not all(len(secret) == KEY_BYTES for secret in known.values()):
        raise ValueError
    return known


class PassphraseProvider:
    """Root keys wrapped under a passphrase; the keystore keeps them."""

    kind = "passphrase"

    def __init__(self, passphrase: bytes | None, suite: Suite = AES_256_GCM) -> None:
        """Take the passphrase, and the suite under which root and entries are wrapped from now on.

        None for a passphrase makes every call ask for it.
        """
        self._passphrase, self._suite = passphrase, suite

    def create(self, installation: bytes, generation: int) -> tuple[Root, Description]:
        """Wrap a new root under the passphrase."""
        secret, salt = os.urandom(KEY_BYTES), os.urandom(_SALT_BYTES)
        parameters = {"iterations": ITERATIONS, "lanes": LANES, "memory_kib": MEMORY_KIB}
        stretched, context = self._stretch(salt, parameters), self._context(generation)
        wrapped = stretched.wrap(secret, context, self._suite)
        described = {"kind": self.kind, "generation": generation, "salt": salt.hex()}
        return LocalRoot(installation, secret, self._suite), {
            **described,
            "wrapped": wrapped.hex(),
            **parameters,
        }

    def open(self, installation: bytes, described: Description) -> Root:
        """Return the root that the keystore keeps wrapped.

        Raises:
            RootUnavailableError: The passphrase is wrong.
            UsageError: None was given.
        """
        kek = self._stretch(bytes.fromhex(described["salt"]), described)
        try:
            wrapped = bytes.fromhex(described["wrapped"])
            secret = kek.unwrap(wrapped, self._context(described["generation"]))
        except SealInvalidError:
            raise RootUnavailableError("the passphrase is wrong") from None
        return LocalRoot(installation, secret, self._suite)

    def destroy(self, described: Description) -> None:
        """Do nothing: the wrapped root goes with the keystore's word on which root is ending."""

    def _context(self, generation: int) -> tuple[bytes, ...]:
        return (_CONTEXT, generation.to_bytes(4, "big"))

    def _stretch(self, salt: bytes, parameters: Mapping[str, Any]) -> WrappingKey:
        if self._passphrase is None:
            raise UsageError(
                "this installation's keys need a passphrase: set CUSTODY_PASSPHRASE_FILE"
            )
        argon2 = Argon2id(
            salt=salt,
            length=KEY_BYTES,
            iterations=parameters["iterations"],
            lanes=parameters["lanes"],
            memory_cost=parameters["memory_kib"],
        )
        return WrappingKey(argon2.derive(self._passphrase))
