"""Replacing a file of secrets, so that what stood in it before does not lie around.

1. The old file stays open. 2. The new one is written beside it and synced; one that a killed
process left there is overwritten first. 3. It takes the name. 4. The folder is synced: from here on
the name means the new file, whatever happens to the power. 5. The old bytes are overwritten through
the descriptor and synced. Killed between 3 and 5 the old bytes stay; on SSD and copy-on-write media
overwriting proves nothing in any case, and no certificate claims it.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from custody.durable import sync_folder
from custody.steps import reached

READS: Final = 5
_PAUSE_SECONDS: Final = 0.02
_PRIVATE: Final = 0o600
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
_T = TypeVar("_T")


def read_replaced(path: Path, parse: Callable[[bytes], _T]) -> _T | None:
    """Return what ``parse`` makes of a file, None where it cannot be read or raises ValueError.

    A file that is being overwritten at this moment has a successor already, so it is read again.
    """
    for attempt in range(READS):
        try:
            return parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            time.sleep(attempt * _PAUSE_SECONDS)
    return None


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` where ``path`` is, private, and overwrite what was there."""
    old = _open_old(path)
    try:
        beside = path.with_name(f"{path.name}.new")
        descriptor = os.open(beside, _NEW, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            _overwrite(descriptor)
            file.truncate(0)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        reached("replace:written")
        beside.replace(path)
        reached("replace:renamed")
        sync_folder(path.parent)
        if old is not None:
            _overwrite(old)
    finally:
        if old is not None:
            os.close(old)


def _open_old(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, os.urandom(size), 0)
    os.fsync(descriptor)
