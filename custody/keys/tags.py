"""Tags: keyed hashes under which custody finds a person or a record again without a clear value.

All are HMAC (RFC 2104) with SHA-256, or with SM3 (GB/T 32905) where the installation was created
under the suite of GM/T, over length-prefixed parts, the first of which says what kind of value
follows. An **identity tag** is cut to 128 bits and unique; a **search tag** is cut to 16 and then
further, by the number of entries (:mod:`custody.searching`), so that a list of candidates must be
opened and compared; a **suppression tag** has a key of its own.

The key of identity tags is renewed once a year; each has a number, its **epoch**, and while tags
are made anew under the next one (:mod:`custody.acts.retagging`) both are looked for. The states of
the hashes stay in memory as long as the process, those of an epoch until tags of the one after the
next are asked for: a process that runs on could find under a destroyed key what nobody else can.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from custody.keys.document import EntryMissingError
from custody.keys.entries import KEPT_TAG_ENTRIES, epoch_entry, tag_entry
from custody.keys.keystore import Keystore
from custody.seal import encode_context
from custody.searching import cut
from custody.suites import AES_256_GCM, SM4_GCM

TAG_BYTES: Final = 16
SEARCH_BYTES: Final = 2
_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

TagOf: TypeAlias = Callable[[str], bytes]


class Tagger:
    """Computes tags under the keystore's keys; each key's inner state is prepared once.

    Attributes:
        hash_name: The hash of the suite the installation was created under.
    """

    def __init__(self, keystore: Keystore) -> None:
        suite = SM4_GCM if tag_entry("search", SM4_GCM) in keystore.names else AES_256_GCM
        self._keystore, self._suite = keystore, suite
        self.hash_name = suite.digest.name
        search, suppression, content = (
            keystore.secret(tag_entry(name, suite)) for name in KEPT_TAG_ENTRIES
        )
        self._search = Keyed.under(search, self.hash_name)
        self._suppression = Keyed.under(suppression, self.hash_name)
        self._content = Keyed.under(content, self.hash_name)
        self._content_key = content
        self._identities: dict[int, IdentityTags] = {}

    def epochs(self, epoch: int) -> "Epochs":
        """Return what makes the identity tags of an epoch, and of the one before while it ends.

        Raises:
            EntryMissingError: The epoch's key is destroyed: another began since, and ended it.
        """
        now = self._identity_tags(epoch)
        before = self._ending(epoch - 1)
        # What is not asked for any more is forgotten.
        self._identities = {one.epoch: one for one in (now, before) if one is not None}
        return Epochs(now, before)

    def _ending(self, epoch: int) -> "IdentityTags | None":
        """Return what makes the tags of an epoch whose key is still there."""
        if not self._keystore.has(self.epoch_entry(epoch)):
            return None
        try:
            return self._identity_tags(epoch)
        except EntryMissingError:  # the file was old, and is read anew
            return None

    def epoch_entry(self, epoch: int) -> str:
        """Return the keystore's name of the key of an epoch."""
        return epoch_entry(epoch, self._suite)

    def _identity_tags(self, epoch: int) -> "IdentityTags":
        known = self._identities.get(epoch)
        if known is None:
            key = self._keystore.secret(self.epoch_entry(epoch))
            known = self._identities[epoch] = IdentityTags(epoch, Keyed.under(key, self.hash_name))
        return known

    def suppressions(self, reference: str, namespace: str) -> TagOf:
        """Return what makes the tags that outlive an erasure, by which a return is noticed."""
        return self._suppression.after(reference, namespace).tag

    def suppression(self, reference: str, namespace: str, value: str) -> bytes:
        """Return the tag of a subject reference that outlives an erasure."""
        return self.suppressions(reference, namespace)(value)

    def keys(self, dataset: str, purpose: str, namespace: str) -> Callable[..., bytes]:
        """Return what tags the parts of a record's own key within a batch, in any epoch alike."""
        return self._content.after("record", dataset, purpose, namespace).tag

    def content(self, *parts: bytes) -> bytes:
        """Return the tag of some content: equal content, equal tag."""
        return self._content.digest(encode_context(parts))[:TAG_BYTES]

    def searches(self, kind: str, bits: int) -> TagOf:
        """Return what makes the tags, of so many bits, of an index."""
        keyed = self._search.after(kind)
        return lambda value: cut(keyed.tag(value)[:SEARCH_BYTES], bits)

    def content_stream(self) -> "hmac.HMAC":
        """Return a running hash for content too large to hold, keyed as :meth:`content`."""
        return hmac.new(self._content_key, digestmod=self.hash_name)


@dataclass(frozen=True, slots=True)
class IdentityTags:
    """Makes the identity tags of one epoch."""

    epoch: int
    keyed: "Keyed"

    def references(self, reference: str, namespace: str) -> TagOf:
        """Return what tags the values of a reference; no namespace where values are global."""
        return self.keyed.after(reference, namespace).tag

    def records(self, dataset: str, purpose: str, namespace: str) -> Callable[..., bytes]:
        """Return what tags a record by the parts of its own key."""
        return self.keyed.after("record", dataset, purpose, namespace).tag


@dataclass(frozen=True, slots=True)
class Epochs:
    """What makes identity tags now, and made those that may not be made anew yet."""

    now: IdentityTags
    before: IdentityTags | None


class Keyed:
    """HMAC under one key, with SHA-256 or SM3, whose two states are kept and only copied.

    The library's own object makes them anew for every message or copies them in Python: three
    times the cost, and a row of a file has eight tags.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, inner: "hashlib._Hash", outer: "hashlib._Hash") -> None:
        self._inner, self._outer = inner, outer

    @classmethod
    def under(cls, key: bytes, digest: str = "sha256") -> "Keyed":
        """Return the states under a key; both hashes have blocks of 64 bytes."""
        if len(key) > _BLOCK_BYTES:
            key = hashlib.new(digest, key).digest()
        block = key.ljust(_BLOCK_BYTES, b"\0")
        inner, outer = block.translate(_INNER), block.translate(_OUTER)
        return cls(hashlib.new(digest, inner), hashlib.new(digest, outer))

    def after(self, *parts: str) -> "Keyed":
        """Return the same with the first parts of every message taken in."""
        inner = self._inner.copy()
        inner.update(encode_context([part.encode() for part in parts]))
        return Keyed(inner, self._outer)

    def tag(self, *parts: str) -> bytes:
        """Return the tag of the message that ends with these parts."""
        inner, outer = self._inner.copy(), self._outer.copy()
        for part in parts:
            data = part.encode()
            inner.update(len(data).to_bytes(4, "big") + data)
        outer.update(inner.digest())
        return outer.digest()[:TAG_BYTES]

    def digest(self, message: bytes) -> bytes:
        """Return the whole code of the message that ends so."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
