"""Tags: keyed hashes under which custody finds a person or a record again without a clear value.

All are HMAC-SHA-256 (RFC 2104) over a label and length-prefixed parts. An **identity tag** is cut
to 128 bits and unique; a **search tag** is cut to 16 and then further, by the number of entries
(:mod:`custody.searching`), so that a list of candidates must be opened and compared; a
**suppression tag** has a key of its own.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from custody.keys.keystore import Keystore
from custody.seal import encode_context

TAG_BYTES: Final = 16
SEARCH_BYTES: Final = 2


class Tagger:
    """Computes tags under the keystore's keys; each key's inner state is prepared once."""

    def __init__(self, keystore: Keystore) -> None:
        self._identity = _keyed(keystore.secret("tag/1"))
        self._search = _keyed(keystore.secret("search"))
        self._suppression = _keyed(keystore.secret("suppression"))
        self._content = _keyed(keystore.secret("content"))

    def identity(self, reference: str, namespace: str, value: str) -> bytes:
        """Return the tag of a subject reference; ``namespace`` is empty where values are global."""
        return _tag(self._identity, (reference, namespace, value))

    def suppression(self, reference: str, namespace: str, value: str) -> bytes:
        """Return the tag that outlives an erasure, by which a return is noticed."""
        return _tag(self._suppression, (reference, namespace, value))

    def record(self, dataset: str, purpose: str, namespace: str, key: Sequence[str]) -> bytes:
        """Return the tag of a record's own key."""
        return _tag(self._identity, ("record", dataset, purpose, namespace, *key))

    def content(self, *parts: bytes) -> bytes:
        """Return the tag of some content: equal content, equal tag."""
        return _finish(self._content, parts)

    def search(self, kind: str, value: str) -> bytes:
        """Return the coarse tag of a searchable value."""
        return _tag(self._search, (kind, value))[:SEARCH_BYTES]

    def content_stream(self) -> "hmac.HMAC":
        """Return a running hash for content too large to hold, keyed as :meth:`content`."""
        return self._content.copy()


def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod=hashlib.sha256)


def _tag(keyed: hmac.HMAC, parts: Sequence[str]) -> bytes:
    return _finish(keyed, [part.encode() for part in parts])


def _finish(keyed: hmac.HMAC, parts: Sequence[bytes]) -> bytes:
    running = keyed.copy()
    running.update(encode_context(parts))
    return running.digest()[:TAG_BYTES]
