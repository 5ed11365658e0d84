"""The key-encryption keys of buckets that one call needs."""

from custody.database.keytables import WrappedKey
from custody.keys.keystore import Keystore
from custody.keys.wrapping import BucketKek, kek_name
from custody.seal import DataKey


class Keks:
    """The key-encryption keys that one call needs, each asked for once."""

    def __init__(self, keystore: Keystore, installation: bytes) -> None:
        self._keystore, self._installation = keystore, installation
        self._known: dict[tuple[str, int, int], BucketKek] = {}

    def of(self, period: str, place: int, generation: int) -> BucketKek:
        """Return the key of a bucket's generation.

        Raises:
            EntryMissingError: It is destroyed, or the keystore is older than the database.
        """
        which = (period, place, generation)
        known = self._known.get(which)
        if known is None:
            kek = self._keystore.wrapping_key(kek_name(*which))
            known = self._known[which] = BucketKek(kek, self._installation, *which)
        return known

    def open(self, key: WrappedKey) -> DataKey:
        """Return a data key, opened."""
        return self.of(key.period, key.slice, key.generation).open(key)
