"""Which code a run runs: the version, and a digest of what is installed, changed or not."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("config", "custody", "flows", "tasks")
_DIGITS: Final = 16


@cache
def code_version() -> str:
    """Return the version with a digest of every module of ours, by path and content."""
    whole = sha256()
    for package in _PACKAGES:
        folder = Path(str(files(package)))
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            name = f"{package}/{path.relative_to(folder).as_posix()}"
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"{version('custody')}+{whole.hexdigest()[:_DIGITS]}"
