"""The keystore: one file of wrapped keys, shared by all hosts of an installation.

Format 1, JSON::

    {"format": 1, "installation": "<32 hex>", "root": {"kind": …},
     "entries": {"<name>": "<hex>", …}}

Entry names: ``kek/<period>/<slice>/<generation>``, ``day/<kind>/<date>``, ``tag/<epoch>``,
``search``, ``suppression``, ``content``, ``consent``, ``signing``. Each entry is wrapped by the
root and bound to installation and name. The file is replaced, never edited: written beside,
synced, renamed. Writers hold the advisory lock of the key database (:mod:`custody.keys.keyring`).
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from custody.keys.root import LocalRoot, Root, RootUnavailableError, create_root, open_root
from custody.seal import KEY_BYTES

FORMAT: Final = 1
FIXED_ENTRIES: Final = ("tag/1", "search", "suppression", "content", "consent", "signing")
CACHE_SECONDS: Final = 60.0


class Keystore:
    """The opened keystore; secrets are unwrapped when asked for and kept at most 60 seconds."""

    def __init__(self, path: Path, root: Root) -> None:
        self._path = path
        self._root = root
        self._document: dict[str, Any] = _read(path)
        self._opened: dict[str, tuple[float, bytes]] = {}

    def secret(self, name: str) -> bytes:
        """Return the 256-bit secret of the entry called ``name``.

        Raises:
            RootUnavailableError: There is no such entry, or it does not open.
        """
        opened = self._opened.get(name)
        if opened is not None and time.monotonic() - opened[0] < CACHE_SECONDS:
            return opened[1]
        secret = self._unwrap(name)
        self._opened[name] = (time.monotonic(), secret)
        return secret

    def _unwrap(self, name: str) -> bytes:
        if name not in self._document["entries"]:
            self.reload()
        wrapped = self._document["entries"].get(name)
        if wrapped is None:
            raise RootUnavailableError(f"the keystore has no entry {name}")
        return self._root.unwrap(name, bytes.fromhex(wrapped))

    def check_every_entry(self) -> int:
        """Read the file again, open every entry, and return how many there are.

        Raises:
            RootUnavailableError: One does not open; it is named.
        """
        self.reload()
        entries = self._document["entries"]
        for name, wrapped in entries.items():
            try:
                encoded = bytes.fromhex(wrapped)
            except (TypeError, ValueError):
                raise RootUnavailableError(f"keystore entry {name} does not open") from None
            self._root.unwrap(name, encoded)
        return len(entries)

    def has(self, name: str) -> bool:
        """Tell whether there is an entry called ``name``, as last read."""
        return name in self._document["entries"]

    def reload(self) -> None:
        """Read the file again: another process may have added entries."""
        self._document = _read(self._path)

    def add(self, names: Iterable[str]) -> None:
        """Add a fresh random secret under each name that is not there yet, and write the file.

        The caller holds the lock of the key database. Another thread may reload at any time, so the
        new document is a copy, and takes its place once it is written.
        """
        document = _read(self._path)
        entries = document["entries"]
        missing = [name for name in names if name not in entries]
        for name in missing:
            entries[name] = self._root.wrap(name, os.urandom(KEY_BYTES)).hex()
        if missing:
            _write(self._path, document)
        self._document = document


def create_keystore(
    path: Path, installation: UUID, key_file: Path, passphrase: bytes | None
) -> Keystore:
    """Make a new keystore with its root key and the entries every installation needs.

    Raises:
        RootUnavailableError: A key file or a keystore is there already.
    """
    if path.exists():
        raise RootUnavailableError("a keystore is there already")
    secret, described = create_root(key_file, passphrase)
    root = LocalRoot(installation.bytes, secret)
    document = {"format": FORMAT, "installation": installation.hex, "root": described}
    _write(path, {**document, "entries": {}})
    keystore = Keystore(path, root)
    keystore.add(FIXED_ENTRIES)
    return keystore


def open_keystore(path: Path, key_file: Path, passphrase: bytes | None) -> Keystore:
    """Open an installation's keystore.

    Raises:
        RootUnavailableError: The file, the root key or the passphrase is missing or wrong.
    """
    document = _read(path)
    secret = open_root(document["root"], key_file, passphrase)
    return Keystore(path, LocalRoot(bytes.fromhex(document["installation"]), secret))


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise RootUnavailableError("the keystore cannot be read") from None
    if document.get("format") != FORMAT:
        raise RootUnavailableError("the keystore has another format than this version knows")
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(document, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
