"""Canonical JSON: one byte string per value, so that digests and signatures mean one thing.

Objects with sorted keys, arrays, strings and integers; no spaces, no floats, no null, no booleans;
UTF-8, only what JSON demands escaped. Text that does not come back byte for byte when parsed and
written again is refused (``custody/threats``: the approval protocol, step 1).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from custody.errors import CustodyError

SHA256: Final = "sha256"
SM3: Final = "sm3"
_PLAIN = "canonical JSON holds objects, arrays, strings and integers only"


class CanonicalError(CustodyError):
    """The value or the text has no canonical form."""

    code = "digest_mismatch"


def canonical(value: object) -> bytes:
    """Return the canonical JSON of ``value`` as UTF-8.

    Raises:
        CanonicalError: The value holds something else than objects, arrays, strings, integers.
    """
    _require_plain(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def parse_canonical(text: bytes) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return the value of canonical JSON.

    Raises:
        CanonicalError: ``text`` is not JSON, or not in canonical form.
    """
    try:
        value = json.loads(text)
        same = canonical(value) == text
    except (ValueError, RecursionError):
        raise CanonicalError("not JSON") from None
    if not same:
        raise CanonicalError("not in canonical form")
    return value


def digest(domain: str, value: object, by: str = SHA256) -> bytes:
    """Return the hash over ``domain``, a zero byte and the canonical JSON of ``value``.

    ``by`` is its name: SHA-256, or SM3 (GB/T 32905), both of 32 bytes.
    """
    return hashlib.new(by, domain.encode() + b"\0" + canonical(value)).digest()


def _require_plain(value: object) -> None:
    match value:
        case bool() | float() | None:
            raise CanonicalError(_PLAIN)
        case str() | int():
            return
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise CanonicalError(_PLAIN)
            for item in value.values():
                _require_plain(item)
        case Sequence() if not isinstance(value, bytes | bytearray):
            for item in value:
                _require_plain(item)
        case _:
            raise CanonicalError(_PLAIN)
