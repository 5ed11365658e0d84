"""The outbox: one folder per delivered request, published by one rename.

    outbox/.<name>.staged/      while it is made; overwritten by the next attempt
    outbox/<name>/              once it is published: it never changes again
        <dataset>.<form>.age    the encrypted sheet
        manifest.json           canonical JSON: what was delivered, to whom, on whose approval
        manifest.sig            base64url of the installation's Ed25519 signature over
                                "custody/manifest/v1" ‖ 0x00 ‖ manifest.json

``<name>`` is the request's identifier and revision, so a request has one place and no more.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from custody.durable import sync_folder
from custody.errors import CustodyError
from custody.packages.envelope import Sealed, encrypt_to
from custody.statements import encode

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_DOMAIN: Final = b"custody/manifest/v1\0"
_PIECE: Final = 1 << 20


class PackageMissingError(CustodyError):
    """A package that was delivered does not lie in the outbox any more, or is another one."""

    code = "fault"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        """Return which package."""
        return f"package {self.name} is missing from the outbox or was altered"


class ManifestInvalidError(CustodyError):
    """The manifest does not carry the installation's signature."""

    code = "signature_invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one request's package lies, before and after it is published."""

    outbox: Path
    name: str
    file: str

    @property
    def staged(self) -> Path:
        """The folder in which it is made."""
        return self.outbox / f".{self.name}.staged"

    @property
    def published(self) -> Path:
        """The folder in which the recipient's courier finds it."""
        return self.outbox / self.name


def stage_package(place: Place, key: str, pieces: Iterator[bytes]) -> Sealed:
    """Write the encrypted sheet into a fresh staging folder, away with an earlier attempt."""
    place.outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(place.staged, ignore_errors=True)
    place.staged.mkdir(mode=0o700)
    return encrypt_to(place.staged / place.file, key, pieces)


def stage_manifest(place: Place, manifest: bytes, signature: bytes) -> None:
    """Write manifest and signature beside the sheet."""
    _write(place.staged / MANIFEST, manifest)
    _write(place.staged / SIGNATURE, encode(signature).encode())
    sync_folder(place.staged)


def publish(place: Place, sha256: str) -> Path:
    """Move the staged package to where it is found; once it is there, nothing happens.

    Raises:
        PackageMissingError: Neither place has the package whose ciphertext has this hash.
    """
    if not place.published.exists():
        try:
            _require_file(place, place.staged / place.file, sha256)
            place.staged.rename(place.published)
            sync_folder(place.outbox)
        except (OSError, PackageMissingError):
            # Another run may have moved it between our two looks.
            if not place.published.exists():
                raise PackageMissingError(place.name) from None
    _require_file(place, place.published / place.file, sha256)
    return place.published


def sign_manifest(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """Return the installation's signature over a manifest."""
    return key.sign(_DOMAIN + manifest)


def verify_manifest(public_key: bytes, manifest: bytes, signature: bytes) -> None:
    """Verify a manifest against the installation's raw public key.

    Raises:
        ManifestInvalidError: It is not signed by that installation, or was altered.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _DOMAIN + manifest)
    except (InvalidSignature, ValueError):
        raise ManifestInvalidError from None


def _require_file(place: Place, path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        raise PackageMissingError(place.name) from None
    if digest.hexdigest() != sha256:
        raise PackageMissingError(place.name)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
