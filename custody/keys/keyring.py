"""The keyring: data keys per customer and expiry period, each wrapped by the KEK of its bucket.

Key first, data second: a data key is committed in the key database before anything sealed under it
is written, by an idempotent insert that returns the key already there. An orphan key harms nobody.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Engine

from custody.database import buckets, keytables, otherkeys
from custody.database.buckets import BucketCount
from custody.database.engine import DatabaseError, transaction
from custody.database.keytables import WrappedKey
from custody.keys.batches import BatchKeys
from custody.keys.consents import ConsentKeys
from custody.keys.document import EntryMissingError
from custody.keys.keks import Keks
from custody.keys.keystore import Keystore, Rotation
from custody.keys.tags import Tagger
from custody.keys.turning import PeriodClosedError, Turner
from custody.keys.wrapping import (
    SLICES,
    WrappedCount,
    kek_name,
    slice_of,
    suite_name,
)
from custody.randomness import Pool
from custody.seal import DataKey, KeyMissingError, new_key
from custody.suites import AES_256_GCM, Suite

_Adding: TypeAlias = Callable[[Connection, Sequence[WrappedKey], Sequence[int]], int]

_READS: Final = 5
_ID_BYTES: Final = 16


class Keyring:
    """Hands out, opens, retires and deletes keys; holds no data key longer than a call."""

    def __init__(
        self, installation: UUID, engine: Engine, keystore: Keystore, suite: Suite = AES_256_GCM
    ) -> None:
        """Take what it works on.

        Args:
            installation: What every wrapped key is bound to.
            engine: The key database.
            keystore: The key-encryption keys.
            suite: Under which new keys are wrapped; those there are open under their own.
        """
        self._installation = installation.bytes
        self._suite = suite
        self._engine = engine
        self._keystore = keystore
        self.tags = Tagger(keystore)
        self.batches = BatchKeys(self._installation, engine, keystore, suite)
        self.consents = ConsentKeys(self._installation, engine, keystore, suite)

    def data_keys(
        self, wanted: Mapping[tuple[UUID, str], int], at: datetime
    ) -> dict[tuple[UUID, str], DataKey]:
        """Return the key in use for each (customer, period), making those that are missing.

        Args:
            wanted: The customer's generation for each customer and period.
            at: The instant, for buckets that must be opened.
        """
        self._open_buckets({period for _, period in wanted}, at)
        try:
            return self._data_keys(wanted, keytables.copy_keys)
        except DatabaseError as error:
            if error.constraint != keytables.IN_USE:
                raise
        # Somebody made one of them meanwhile: each is added that is not there.
        return self._data_keys(wanted, keytables.add_keys)

    def _data_keys(
        self, wanted: Mapping[tuple[UUID, str], int], add: _Adding
    ) -> dict[tuple[UUID, str], DataKey]:
        with transaction(self._engine) as connection:
            generations = buckets.share_buckets(connection, {period for _, period in wanted})
            keys = keytables.keys_in_use(connection, wanted)
            missing = {pair: one for pair, one in wanted.items() if pair not in keys}
            opened = self._opened(keys)
            if missing:
                opened |= self._add(connection, missing, generations, add)
        return opened

    def _add(
        self,
        connection: Connection,
        missing: Mapping[tuple[UUID, str], int],
        generations: Mapping[tuple[str, int], int],
        add: _Adding,
    ) -> dict[tuple[UUID, str], DataKey]:
        """Make a key for each (customer, period), unless somebody else has made one meanwhile."""
        randomness, keks = Pool(), Keks(self._keystore, self._installation)
        fresh, wrapped = {}, []
        # In one order, so that two who make keys for the same customers wait and never deadlock.
        ordered = sorted(missing, key=lambda pair: (pair[0].int, pair[1]))
        for customer_id, period in ordered:
            place = slice_of(customer_id)
            generation = generations.get((period, place))
            if generation is None:
                raise PeriodClosedError(period)
            key = new_key(UUID(bytes=randomness(_ID_BYTES), version=4), randomness)
            kek = keks.of(period, place, generation)
            wrapped.append(kek.wrap(customer_id, key, self._suite, randomness))
            fresh[customer_id, period] = key
        if add(connection, wrapped, [missing[pair] for pair in ordered]) == len(wrapped):
            return fresh
        return self._opened(keytables.keys_in_use(connection, missing))

    def _opened(
        self, keys: Mapping[tuple[UUID, str], WrappedKey]
    ) -> dict[tuple[UUID, str], DataKey]:
        keks = Keks(self._keystore, self._installation)
        return {pair: keks.open(key) for pair, key in keys.items()}

    def open_keys(self, ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the keys with these ids; destroyed ones are missing from the result."""
        wanted = list(ids)
        opened = self._open_as_read(lambda connection: keytables.keys_by_id(connection, wanted))
        return {key.key_id: key for key in opened}

    def retire(self, ids: Iterable[UUID]) -> None:
        """Mark keys retired: they open still, and are never handed out again."""
        with transaction(self._engine) as connection:
            keytables.retire_keys(connection, ids)

    def delete_retired(self, ids: Iterable[UUID], at: datetime) -> int:
        """Delete retired keys, whose buckets are to turn from then on; again is success."""
        wanted = list(ids)
        with transaction(self._engine) as connection:
            buckets.mark_dirty(connection, wanted, at)
            return keytables.delete_retired_keys(connection, wanted)

    @property
    def keystore(self) -> Keystore:
        """The keystore, to see how it stands."""
        return self._keystore

    def count_buckets(self) -> list[BucketCount]:
        """Return the buckets and keys of every expiry period, in counts."""
        with transaction(self._engine) as connection:
            return buckets.count_buckets(connection)

    def count_wrapped(self) -> list[WrappedCount]:
        """Return how many keys of each kind are wrapped under which suite."""
        with transaction(self._engine) as connection:
            found = otherkeys.count_by_suite(connection)
        found += [("keystore", number, keys) for number, keys in self._keystore.suites.items()]
        return sorted(
            (WrappedCount(kind, suite_name(number), keys) for kind, number, keys in found),
            key=lambda one: (one.kind, one.suite),
        )

    def generations_of(self, ids: Iterable[UUID]) -> dict[UUID, int]:
        """Return the generation that wraps each of the keys; destroyed ones are missing."""
        with transaction(self._engine) as connection:
            return keytables.generations_of(connection, ids)

    def add_entries(self, names: Collection[str]) -> None:
        """Make keys under those names that the keystore has not yet."""
        with transaction(self._engine) as connection:
            keytables.lock_keystore(connection)
            self._keystore.add(names)

    def destroy_entries(self, are_to_go: Callable[[str], bool]) -> Rotation | None:
        """Destroy the keystore's keys whose names say so; None where there are none.

        Raises:
            RootUnavailableError: The root cannot be had, or an entry does not open.
        """
        with transaction(self._engine) as connection:
            keytables.lock_keystore(connection)
            self._keystore.reload()
            names = {name for name in self._keystore.names if are_to_go(name)}
            if not (names or self._keystore.is_ending):
                return None
            return self._keystore.rotate(names)

    def rotate_root(self) -> Rotation:
        """Give the keystore a new root key and destroy the old one.

        Raises:
            RootUnavailableError: The root cannot be had, or an entry does not open.
        """
        with transaction(self._engine) as connection:
            keytables.lock_keystore(connection)
            return self._keystore.rotate()

    @property
    def turner(self) -> Turner:
        """What turns the buckets of this installation."""
        return Turner(
            installation=self._installation,
            engine=self._engine,
            keystore=self._keystore,
            suite=self._suite,
        )

    def check_every_key(self, *, chunk: int = 5000) -> int:
        """Open every wrapped data key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        count, after = 0, UUID(int=0)
        while True:
            keys = self._open_as_read(partial(keytables.keys_after, after=after, most=chunk))
            if not keys:
                return count
            count, after = count + len(keys), keys[-1].key_id

    def check_other_keys(self) -> int:
        """Open every entry of the keystore and every wrapped key of batches and consents.

        Raises:
            RootUnavailableError: An entry of the keystore does not open; it is named.
            SealInvalidError: A wrapped key does not open; the place names it.
        """
        entries = self._keystore.check_every_entry()
        return entries + self.batches.check() + self.consents.check()

    def signing_key(self) -> Ed25519PrivateKey:
        """Return the installation's own key, which signs certificates and manifests."""
        return Ed25519PrivateKey.from_private_bytes(self._keystore.secret("signing"))

    def verify_key_bytes(self) -> bytes:
        """Return the raw public half of the installation's signing key, 32 bytes."""
        return self.signing_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def close(self) -> None:
        """Close the connections to the key database."""
        self._engine.dispose()

    def _open_buckets(self, periods: Iterable[str], at: datetime) -> None:
        """Make the KEKs, then the buckets: a bucket whose KEK is missing could never be opened."""
        missing = [period for period in periods if not self._has_buckets(period)]
        if not missing:
            return
        with transaction(self._engine) as connection:
            keytables.lock_keystore(connection)
            self._keystore.add(kek_name(p, s, 1) for p in missing for s in range(SLICES))
            for period in missing:
                buckets.add_buckets(connection, period, range(SLICES), at)

    def _has_buckets(self, period: str) -> bool:
        """Whether a period has its buckets.

        Raises:
            PeriodClosedError: It had them once, and their keys are destroyed.
        """
        with transaction(self._engine) as connection:
            if buckets.is_closed(connection, period):
                raise PeriodClosedError(period)
            return len(buckets.share_buckets(connection, [period])) == SLICES

    def _open_as_read(self, read: Callable[[Connection], list[WrappedKey]]) -> list[DataKey]:
        """Read keys and open them; read again when their bucket turned between the two."""
        for _ in range(_READS - 1):
            with transaction(self._engine) as connection:
                keys = read(connection)
            keks = Keks(self._keystore, self._installation)
            try:
                return [keks.open(key) for key in keys]
            except EntryMissingError:
                continue
        with transaction(self._engine) as connection:
            keys = read(connection)
        keks = Keks(self._keystore, self._installation)
        return [self._open_or_say(keks, key) for key in keys]

    def _open_or_say(self, keks: Keks, key: WrappedKey) -> DataKey:
        """Open a key that may come from a database older than the keystore."""
        try:
            return keks.open(key)
        except EntryMissingError:
            why = "the key that wrapped it is destroyed"
            raise KeyMissingError(f"wrapped key {key.key_id}: {why}") from None
