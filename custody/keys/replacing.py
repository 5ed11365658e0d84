"""Replacing a file of secrets, so that what stood in it before does not lie around.

1. The old file stays open. 2. The new one is written beside it and synced. 3. It takes the name.
4. The old bytes are overwritten through the descriptor and synced. 5. The folder is synced. Killed
between 3 and 4 the old bytes stay; on SSD and copy-on-write media overwriting proves nothing in any
case, and no certificate claims it.
"""

import os
from pathlib import Path

from custody.durable import sync_folder
from custody.steps import reached

_PRIVATE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` where ``path`` is, private, and overwrite what was there."""
    old = _open_old(path)
    try:
        beside = path.with_name(f"{path.name}.new")
        descriptor = os.open(beside, _NEW, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        reached("replace:renamed")
        if old is not None:
            _overwrite(old)
    finally:
        if old is not None:
            os.close(old)
    sync_folder(path.parent)


def _open_old(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, os.urandom(size), 0)
    os.fsync(descriptor)
