"""The keystore's file, read whole and replaced whole, and what is opened of it.

Its format is drawn in :mod:`custody.keys.keystore`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from custody.keys.replacing import read_replaced, replace_file
from custody.keys.root import Root, RootUnavailableError
from custody.seal import WrappingKey

FORMAT: Final = 1

Document: TypeAlias = dict[str, Any]
_Hex: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{2})+$")]
_Generation: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class _InFile(msgspec.Struct, tag_field="kind", tag="key-file"):
    generation: _Generation


class _UnderPassphrase(msgspec.Struct, tag_field="kind", tag="passphrase"):
    generation: _Generation
    salt: _Hex
    wrapped: _Hex
    iterations: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    lanes: Annotated[int, msgspec.Meta(ge=1, le=255)]
    memory_kib: Annotated[int, msgspec.Meta(ge=8, le=4 * 1024 * 1024)]


class _InToken(msgspec.Struct, tag_field="kind", tag="pkcs11"):
    generation: _Generation
    label: str


_Root: TypeAlias = _InFile | _UnderPassphrase | _InToken


class _Form(msgspec.Struct):
    """What a document must look like; each entry is looked at when it is opened, and named."""

    installation: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    root: _Root
    entries: dict[str, object]
    ending: _Root | None = None


class EntryMissingError(RootUnavailableError):
    """The keystore has no such entry: it was destroyed, or never made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The file as it was read once, its root, and what was unwrapped since; replaced as a whole."""

    document: Document
    root: Root = field(repr=False)
    read_at: float
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    wrapping: dict[str, WrappingKey] = field(default_factory=dict, repr=False)

    def secret(self, name: str) -> bytes:
        """Return the secret of an entry, unwrapped once."""
        secret = self.secrets.get(name)
        if secret is None:
            secret = self.secrets[name] = self.entry(name)
        return secret

    def wrapping_key(self, name: str) -> WrappingKey:
        """Return the key-encryption key of an entry, made ready once."""
        key = self.wrapping.get(name)
        if key is None:
            key = self.wrapping[name] = WrappingKey(self.entry(name))
        return key

    def entry(self, name: str) -> bytes:
        """Return the secret of an entry.

        Raises:
            EntryMissingError: There is no such entry.
            RootUnavailableError: It does not open.
        """
        wrapped = self.document["entries"].get(name)
        if wrapped is None:
            raise EntryMissingError(f"the keystore has no entry {name}")
        try:
            encoded = bytes.fromhex(wrapped)
        except (TypeError, ValueError):
            raise RootUnavailableError(f"keystore entry {name} does not open") from None
        return self.root.unwrap(name, encoded)

    def suite_of(self, name: str) -> int:
        """Return what an entry's second byte says of how it is wrapped, 0 where it has none."""
        try:
            return bytes.fromhex(self.document["entries"][name])[1]
        except (TypeError, ValueError, IndexError):
            return 0


def read_document(path: Path) -> Document:
    """Read the file.

    Raises:
        RootUnavailableError: It cannot be read, has another format, or is damaged.
    """
    document = read_replaced(path, json.loads)
    if not isinstance(document, dict):
        raise RootUnavailableError("the keystore cannot be read")
    if document.get("format") != FORMAT:
        raise RootUnavailableError("the keystore has another format than this version knows")
    try:
        msgspec.convert(document, _Form)
    except msgspec.ValidationError:
        raise RootUnavailableError("the keystore is damaged") from None
    return document


def write_document(path: Path, document: Document) -> None:
    """Put a document in the place of the file, and overwrite what was there."""
    replace_file(path, json.dumps(document, indent=1, sort_keys=True).encode("ascii"))


def kind_of(path: Path) -> str:
    """Return which kind of provider keeps a keystore's root.

    Raises:
        RootUnavailableError: The keystore cannot be read.
    """
    return str(read_document(path)["root"]["kind"])
