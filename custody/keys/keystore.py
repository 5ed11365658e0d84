"""The keystore: one file of wrapped keys, shared by all hosts of an installation.

Format 1, JSON::

    {"format": 1, "installation": "<32 hex>",
     "root": {"kind": …, "generation": <n>, …},
     "ending": {"kind": …, "generation": <n-1>, …},      (only while a rotation is under way)
     "entries": {"<name>": "<hex>", …}}

Entry names: ``kek/<period>/<slice>/<generation>``, ``day/<kind>/<date>``, ``consent``, ``signing``,
and of tags ``tag/<epoch>``, ``search``, ``suppression``, ``content``, with ``/sm3`` behind them
where the installation was created under the suite of GM/T. Each entry is wrapped by the root and
bound to installation and name. Writers hold the advisory lock of the key database
(:mod:`custody.keys.keyring`), so that what they know of the database stays true, and a lock on the
file ``<name>.lock`` beside it, for a session of a database can end while its process goes on.

Keys are destroyed by **rotation**: 1. what an earlier one left is finished; 2. the provider makes a
root of the next generation; 3. every entry that stays is wrapped under it, opened again and
compared; 4. the file is replaced, and says which root is ending; 5. that root is destroyed at the
provider; 6. the file says so. Killed anywhere, every entry that was to stay opens, under the old
root until 4 and under the new one from then on, and running it again comes to the same end.
"""

import fcntl
import hmac
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from custody.keys.document import FORMAT, Document, Opened, read_document, write_document
from custody.keys.entries import (
    FIRST_EPOCH,
    KEPT_TAG_ENTRIES,
    OTHER_ENTRIES,
    epoch_entry,
    tag_entry,
)
from custody.keys.replacing import READS
from custody.keys.root import Root, RootProvider, RootSilentError, RootUnavailableError
from custody.seal import KEY_BYTES, WrappingKey
from custody.steps import reached
from custody.suites import AES_256_GCM, Suite

CACHE_SECONDS: Final = 60.0
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """What a rotation came to.

    Attributes:
        generation: The root's generation now.
        kept: How many entries were wrapped again.
        destroyed: The names of the entries that are gone.
    """

    generation: int
    kept: int
    destroyed: tuple[str, ...]


class Keystore:
    """The opened keystore; secrets are unwrapped when asked for and used for 60 seconds at most.

    The states of the hashes of tags stay with the process (:mod:`custody.keys.tags`).
    """

    def __init__(self, path: Path, provider: RootProvider) -> None:
        """Read the file and open its root.

        Raises:
            RootUnavailableError: The file or its root cannot be had.
        """
        self._path = path
        self._provider = provider
        self._opened = self._open()

    @property
    def generation(self) -> int:
        """The root's generation, as last read."""
        return int(self._opened.document["root"]["generation"])

    @property
    def kind(self) -> str:
        """The kind of the root's provider."""
        return str(self._opened.document["root"]["kind"])

    @property
    def is_ending(self) -> bool:
        """Whether a rotation was cut off before the old root was destroyed."""
        return "ending" in self._opened.document

    @property
    def names(self) -> frozenset[str]:
        """The names of all entries, as last read."""
        return frozenset(self._opened.document["entries"])

    @property
    def suites(self) -> Counter[int]:
        """How many entries are wrapped under which suite, by what their second byte says."""
        return Counter(map(self._opened.suite_of, self._opened.document["entries"]))

    def secret(self, name: str) -> bytes:
        """Return the 256-bit secret of the entry called ``name``.

        Raises:
            EntryMissingError: There is no such entry.
            RootUnavailableError: It does not open.
        """
        return self._from_present(name, lambda opened: opened.secret(name))

    def wrapping_key(self, name: str) -> WrappingKey:
        """Return the key-encryption key called ``name``.

        Raises:
            EntryMissingError: There is no such entry.
            RootUnavailableError: It does not open.
        """
        return self._from_present(name, lambda opened: opened.wrapping_key(name))

    def check_every_entry(self) -> int:
        """Read the file again, open every entry, and return how many there are.

        Raises:
            RootUnavailableError: One does not open; it is named.
        """
        self.reload()
        opened = self._opened
        for name in opened.document["entries"]:
            opened.entry(name)
        return len(opened.document["entries"])

    def has(self, name: str) -> bool:
        """Tell whether there is an entry called ``name``, as last read."""
        return name in self._opened.document["entries"]

    def reload(self) -> None:
        """Read the file again, and open its root anew: another process may have changed both."""
        self._opened = self._open()

    def add(self, names: Iterable[str]) -> None:
        """Add a fresh random secret under each name that is not there yet, and write the file.

        The caller holds the lock of the key database.
        """
        with self._alone():
            self.reload()
            opened = self._opened
            entries = dict(opened.document["entries"])
            missing = [name for name in names if name not in entries]
            for name in missing:
                entries[name] = opened.root.wrap(name, os.urandom(KEY_BYTES)).hex()
            if missing:
                self._write({**opened.document, "entries": entries}, opened.root)

    def rotate(self, destroy: Collection[str] = ()) -> Rotation:
        """Give the keystore a new root, without the entries in ``destroy``; then end the old root.

        The caller holds the lock of the key database. The numbers are the module docstring's.

        Raises:
            RootUnavailableError: An entry does not open; nothing was changed.
        """
        with self._alone():
            return self._rotate(destroy)

    def _rotate(self, destroy: Collection[str]) -> Rotation:
        self._finish_rotation()  # 1
        before, generation = self._opened, self.generation + 1
        installation = bytes.fromhex(before.document["installation"])
        root, described = self._provider.create(installation, generation)  # 2
        reached("rotate:root-created")
        known = before.document["entries"].keys()
        staying = sorted(known - set(destroy))
        entries = {name: _wrapped_again(name, before, root) for name in staying}  # 3
        ending = before.document["root"]
        document = {**before.document, "root": described, "ending": ending, "entries": entries}
        self._write(document, root)  # 4
        reached("rotate:keystore-written")
        self._finish_rotation()  # 5, 6
        gone = tuple(sorted(known - entries.keys()))
        return Rotation(generation=generation, kept=len(entries), destroyed=gone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other writer of the file waiting, whatever became of their sessions."""
        beside = self._path.with_name(f"{self._path.name}.lock")
        with open(os.open(beside, _LOCK_FLAGS, 0o600)) as file:  # noqa: PTH123 - a descriptor
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _finish_rotation(self) -> None:
        """Destroy the root that a rotation left behind, if there is one."""
        self.reload()
        opened = self._opened
        ending = opened.document.get("ending")
        if ending is None:
            return
        self._provider.destroy(ending)
        reached("rotate:root-destroyed")
        settled = {name: value for name, value in opened.document.items() if name != "ending"}
        self._write(settled, opened.root)
        reached("rotate:settled")

    def _from_present(self, name: str, get: Callable[[Opened], _T]) -> _T:
        """Return what ``get`` finds; once more where another process wrote meanwhile."""
        opened = self._with(name)
        try:
            return get(opened)
        except RootSilentError:
            raise
        except RootUnavailableError:
            self.reload()
            if self._opened.document == opened.document:
                raise
            return get(self._opened)

    def _with(self, name: str) -> Opened:
        """Return the file as read, anew if that was long ago or it had no such entry yet.

        Neither root nor secrets are used longer than 60 seconds: others may have destroyed them.
        One that is not used stays in memory until it next is, or the process ends.
        """
        opened = self._opened
        is_old = time.monotonic() - opened.read_at >= CACHE_SECONDS
        if is_old or name not in opened.document["entries"]:
            self.reload()
        return self._opened

    def _open(self) -> Opened:
        """Read the file and open its root; when another process rotates meanwhile, once more."""
        document = read_document(self._path)
        for _ in range(READS):
            try:
                return self._opened_as(document, self._root_of(document))
            except RootUnavailableError:
                before, document = document, read_document(self._path)
                if document["root"] == before["root"]:
                    raise
        return self._opened_as(document, self._root_of(document))

    def _root_of(self, document: Document) -> Root:
        described = document["root"]
        if described["kind"] != self._provider.kind:
            raise RootUnavailableError(f"it is kept by another provider: {described['kind']}")
        return self._provider.open(bytes.fromhex(document["installation"]), described)

    def _write(self, document: Document, root: Root) -> None:
        write_document(self._path, document)
        self._opened = self._opened_as(document, root)

    @staticmethod
    def _opened_as(document: Document, root: Root) -> Opened:
        return Opened(document=document, root=root, read_at=time.monotonic())


def create_keystore(
    path: Path, installation: UUID, provider: RootProvider, suite: Suite = AES_256_GCM
) -> Keystore:
    """Make a new keystore with its root key and the entries every installation needs.

    Args:
        path: The file.
        installation: What every entry is bound to.
        provider: What keeps the root key.
        suite: By whose hash the installation's tags are made, for good.

    Raises:
        RootUnavailableError: A root key or a keystore is there already.
    """
    if path.exists():
        raise RootUnavailableError("a keystore is there already")
    _, described = provider.create(installation.bytes, 1)
    document = {"format": FORMAT, "installation": installation.hex, "root": described}
    write_document(path, {**document, "entries": {}})
    keystore = Keystore(path, provider)
    tags = (epoch_entry(FIRST_EPOCH, suite), *(tag_entry(name, suite) for name in KEPT_TAG_ENTRIES))
    keystore.add((*tags, *OTHER_ENTRIES))
    return keystore


def _wrapped_again(name: str, before: Opened, root: Root) -> str:
    secret = before.entry(name)
    wrapped = root.wrap(name, secret)
    if not hmac.compare_digest(root.unwrap(name, wrapped), secret):
        raise RootUnavailableError(f"keystore entry {name} does not open under the new root")
    return wrapped.hex()
