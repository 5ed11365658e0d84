"""The folder below which everything of one installation lies (CUSTODY_HOME).

::

    CUSTODY_HOME/            0700
      home.json              marks the folder as custody's and says which form it has
      postgres/data/         the cluster, with checksums
      postgres/passwords/    one password file per role, 0600, in the form of libpq
      prefect/               PREFECT_HOME
      tmp/                   TMPDIR of Prefect's processes, which use fixed names in it
      log/                   one log per process, 0600
      run/                   locks, and what running services published about themselves
      run/socket/            the socket of PostgreSQL, unless this path is too long for one
"""

import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from custody.embedded.errors import HomeUnusableError

PRIVATE = 0o700
PRIVATE_FILE = 0o600
FORM = 1
MARK = "home.json"
LOG_BYTES_KEPT = 5_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A private folder that has been checked; open one with :meth:`open`."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create the folder, or check that it is ours and private, and return it.

        A folder that holds other things is refused rather than made private, because somebody
        may have named ``/tmp`` or ``/``.

        Raises:
            HomeUnusableError: It cannot be made, is a link, somebody else's, or holds other things.
        """
        path = path.expanduser().absolute()
        _make(path)
        _require_own_folder(path)
        mark = path / MARK
        if not mark.exists():
            _require_empty_or_just_marked(path, mark)
        path.chmod(PRIVATE)
        if not mark.exists():
            write_private(mark, json.dumps({"form": FORM}))
        return cls(path=path)

    @property
    def postgres(self) -> Path:
        """The folder of the cluster and its passwords."""
        return self._folder("postgres")

    @property
    def cluster(self) -> Path:
        """The data directory; it does not exist before the first start."""
        return self.postgres / "data"

    @property
    def passwords(self) -> Path:
        """The folder of the password files."""
        return self._folder("postgres/passwords")

    @property
    def prefect(self) -> Path:
        """The folder for PREFECT_HOME."""
        return self._folder("prefect")

    @property
    def pages(self) -> Path:
        """The folder of the pages of Prefect's UI.

        In it a link to nowhere stands where the newer interface would be unpacked, so that the
        server does not offer it: it reports to others what people do in it.
        """
        folder = self._folder("prefect/pages")
        newer = folder / "v2"
        if not newer.is_symlink():
            newer.symlink_to("not-offered")
        return folder

    @property
    def temporary(self) -> Path:
        """The folder for TMPDIR of what custody starts."""
        return self._folder("tmp")

    @property
    def run(self) -> Path:
        """The folder of locks and published states."""
        return self._folder("run")

    def log(self, service: str) -> Path:
        """Return the private log file of a service, moved aside first when it has grown long."""
        log = self._folder("log") / f"{service}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_KEPT:
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=PRIVATE_FILE)
        return log

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        return folder


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(draft).replace(path)


def close_to_others(folder: Path) -> None:
    """Make every folder below ``folder`` private."""
    for below in folder.rglob("*/"):
        if below.stat().st_mode & 0o077:
            below.chmod(PRIVATE)


def is_private_folder(path: Path) -> bool:
    """Return whether this is a real folder of ours that nobody else can enter."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(state.st_mode)
        and state.st_uid == os.geteuid()
        and stat.S_IMODE(state.st_mode) == PRIVATE
    )


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError:
        raise HomeUnusableError("home cannot be made, or is no folder", str(path)) from None


def _require_own_folder(path: Path) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise HomeUnusableError("home is a symbolic link; name the folder itself", str(path))
    if state.st_uid != os.geteuid():
        raise HomeUnusableError("home belongs to another user", str(path))


def _require_empty_or_just_marked(path: Path, mark: Path) -> None:
    """Refuse a folder with strange things in it; another process may be marking it right now."""
    draft = f".{MARK}."
    strange = [one for one in path.iterdir() if not one.name.startswith(draft)]
    if strange and not mark.exists():
        raise HomeUnusableError("home holds other things; name an empty folder", str(path))
