"""The keystore's file, read whole and replaced whole, and what is opened of it.

Its format is drawn in :mod:`custody.keys.keystore`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from custody.keys.replacing import read_replaced, replace_file
from custody.keys.root import Root, RootUnavailableError
from custody.seal import WrappingKey

FORMAT: Final = 1

Document: TypeAlias = dict[str, Any]


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


def read_document(path: Path) -> Document:
    """Read the file.

    Raises:
        RootUnavailableError: It cannot be read, or has another format.
    """
    document = read_replaced(path, json.loads)
    if not isinstance(document, dict):
        raise RootUnavailableError("the keystore cannot be read")
    if document.get("format") != FORMAT:
        raise RootUnavailableError("the keystore has another format than this version knows")
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
