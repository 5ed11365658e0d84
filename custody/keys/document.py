"""The keystore's file: read whole, replaced whole; its format is drawn in custody.keys.keystore."""

import json
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

from custody.keys.replacing import replace_file
from custody.keys.root import RootUnavailableError

FORMAT: Final = 1
READS: Final = 5
_PAUSE_SECONDS: Final = 0.02

Document: TypeAlias = dict[str, Any]


def read_document(path: Path) -> Document:
    """Read the file; one that is being overwritten at this moment has a successor already.

    Raises:
        RootUnavailableError: It cannot be read, or has another format.
    """
    document: Document | None = None
    for attempt in range(READS):
        try:
            document = json.loads(path.read_bytes())
            break
        except FileNotFoundError:
            break
        except (OSError, ValueError):
            time.sleep(attempt * _PAUSE_SECONDS)
    if not isinstance(document, dict):
        raise RootUnavailableError("the keystore cannot be read")
    if document.get("format") != FORMAT:
        raise RootUnavailableError("the keystore has another format than this version knows")
    return document


def write_document(path: Path, document: Document) -> None:
    """Put a document in the place of the file, and overwrite what was there."""
    replace_file(path, json.dumps(document, indent=1, sort_keys=True).encode("ascii"))
