"""The keyring: data keys per customer and expiry period, each wrapped by the KEK of its bucket.

Key first, data second: a data key is committed in the key database before anything sealed under it
is written, by an idempotent insert that returns the key already there. An orphan key harms nobody.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Final
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Engine

from custody.database import keytables
from custody.database.engine import transaction
from custody.database.keytables import WrappedKey
from custody.keys.keystore import Keystore
from custody.keys.tags import Tagger
from custody.seal import DataKey, SealInvalidError, new_key, unwrap, wrap

SLICE_BITS: Final = 4
SLICES: Final = 1 << SLICE_BITS
INTAKE: Final = "intake"
QUARANTINE: Final = "quarantine"


class KeyMissingError(SealInvalidError):
    """There is no such key: it was destroyed, or never made."""


class Keyring:
    """Hands out, opens, retires and deletes keys; holds no secret longer than a call."""

    def __init__(self, installation: UUID, engine: Engine, keystore: Keystore) -> None:
        self._installation = installation.bytes
        self._engine = engine
        self._keystore = keystore
        self.tags = Tagger(keystore)

    def data_keys(
        self, wanted: Mapping[tuple[UUID, str], int], at: datetime
    ) -> dict[tuple[UUID, str], DataKey]:
        """Return the key in use for each (customer, period), making those that are missing.

        Args:
            wanted: The customer's generation for each customer and period.
            at: The instant, for buckets that must be opened.
        """
        periods = {period for _, period in wanted}
        self._open_buckets(periods, at)
        with transaction(self._engine) as connection:
            generations = keytables.share_buckets(connection, periods)
            keys = {(k.customer_id, k.period): k for k in keytables.keys_in_use(connection, wanted)}
            missing = {pair: wanted[pair] for pair in wanted.keys() - keys.keys()}
            if missing:
                fresh = [self._fresh_key(pair, generations) for pair in missing]
                keytables.add_keys(connection, fresh, list(missing.values()))
                for key in keytables.keys_in_use(connection, missing):
                    keys[key.customer_id, key.period] = key
        return {pair: self._open(key) for pair, key in keys.items()}

    def open_keys(self, ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the keys with these ids; destroyed ones are missing from the result."""
        with transaction(self._engine) as connection:
            return {key.key_id: self._open(key) for key in keytables.keys_by_id(connection, ids)}

    def key_ids_of(self, customers: Iterable[UUID]) -> dict[UUID, list[UUID]]:
        """Return the ids of every key of each customer, in use or retired."""
        found: dict[UUID, list[UUID]] = {}
        with transaction(self._engine) as connection:
            for key in keytables.keys_of_customers(connection, customers):
                found.setdefault(key.customer_id, []).append(key.key_id)
        return found

    def retire(self, ids: Iterable[UUID]) -> None:
        """Mark keys retired: they open still, and are never handed out again."""
        with transaction(self._engine) as connection:
            keytables.retire_keys(connection, ids)

    def delete_retired(self, ids: Iterable[UUID]) -> int:
        """Delete retired keys; running it again is success."""
        with transaction(self._engine) as connection:
            return keytables.delete_retired_keys(connection, ids)

    def check_every_key(self, *, chunk: int = 5000) -> int:
        """Open every wrapped data key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        count, after = 0, UUID(int=0)
        while True:
            with transaction(self._engine) as connection:
                keys = keytables.keys_after(connection, after, chunk)
            for key in keys:
                self._open(key)
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
        with transaction(self._engine) as connection:
            of_batches = keytables.every_batch_key(connection)
            of_consents = keytables.every_consent_key(connection)
        for batch_id, kind, key_id, day, wrapped in of_batches:
            self._open_batch_key((key_id, day, wrapped), batch_id, kind)
        for customer_id, key_id, wrapped in of_consents:
            self._open_consent_key(customer_id, key_id, wrapped)
        return entries + len(of_batches) + len(of_consents)

    def batch_key(self, batch_id: UUID, kind: str, day: date) -> DataKey:
        """Return the batch's key for intake or quarantine, making it on the first call."""
        with transaction(self._engine) as connection:
            found = keytables.find_batch_key(connection, batch_id, kind)
            if found is None:
                self._add_batch_key(connection, batch_id, kind, day)
                found = keytables.find_batch_key(connection, batch_id, kind)
        return self._open_batch_key(found, batch_id, kind)

    def open_batch_key(self, batch_id: UUID, kind: str) -> DataKey:
        """Return the batch's key.

        Raises:
            KeyMissingError: It was destroyed with its last chunk, or at the end of its days.
        """
        with transaction(self._engine) as connection:
            found = keytables.find_batch_key(connection, batch_id, kind)
        return self._open_batch_key(found, batch_id, kind)

    def drop_batch_key(self, batch_id: UUID, kind: str) -> None:
        """Delete the batch's key row; running it again is success."""
        with transaction(self._engine) as connection:
            keytables.drop_batch_key(connection, batch_id, kind)

    def consent_keys(self, customers: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return each customer's consent key, making those that are missing."""
        wanted = set(customers)
        with transaction(self._engine) as connection:
            found = keytables.consent_keys(connection, wanted)
            missing = wanted - found.keys()
            if missing:
                keytables.add_consent_keys(
                    connection, [self._fresh_consent_key(c) for c in missing]
                )
                found |= keytables.consent_keys(connection, missing)
        return {customer: self._open_consent_key(customer, *key) for customer, key in found.items()}

    def open_consent_keys(self, customers: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the consent keys of the customers who have one."""
        with transaction(self._engine) as connection:
            found = keytables.consent_keys(connection, customers)
        return {customer: self._open_consent_key(customer, *key) for customer, key in found.items()}

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
            self._keystore.add(_kek_name(p, s, 1) for p in missing for s in range(SLICES))
            for period in missing:
                keytables.add_buckets(connection, period, range(SLICES), at)

    def _has_buckets(self, period: str) -> bool:
        with transaction(self._engine) as connection:
            return len(keytables.share_buckets(connection, [period])) == SLICES

    def _fresh_key(
        self, pair: tuple[UUID, str], generations: Mapping[tuple[str, int], int]
    ) -> WrappedKey:
        customer_id, period = pair
        place = slice_of(customer_id)
        generation = generations[period, place]
        key = new_key(uuid4())
        context = self._context(customer_id, period, generation, key.key_id)
        wrapped = wrap(self._kek(period, place, generation), key.secret, context)
        return WrappedKey(
            key_id=key.key_id,
            customer_id=customer_id,
            period=period,
            slice=place,
            generation=generation,
            wrapped=wrapped,
        )

    def _open(self, key: WrappedKey) -> DataKey:
        kek = self._kek(key.period, key.slice, key.generation)
        context = self._context(key.customer_id, key.period, key.generation, key.key_id)
        try:
            return DataKey(key.key_id, unwrap(kek, key.wrapped, context))
        except SealInvalidError:
            raise SealInvalidError(f"wrapped key {key.key_id}") from None

    def _kek(self, period: str, place: int, generation: int) -> AESGCM:
        return AESGCM(self._keystore.secret(_kek_name(period, place, generation)))

    def _context(
        self, customer_id: UUID, period: str, generation: int, key_id: UUID
    ) -> tuple[bytes, ...]:
        number = generation.to_bytes(4, "big")
        return (
            b"data",
            self._installation,
            customer_id.bytes,
            period.encode(),
            number,
            key_id.bytes,
        )

    def _add_batch_key(self, connection: Connection, batch_id: UUID, kind: str, day: date) -> None:
        name = _day_name(kind, day)
        if not self._keystore.has(name):
            keytables.lock_keystore(connection)
            self._keystore.add([name])
        key = new_key(uuid4())
        kek = AESGCM(self._keystore.secret(name))
        wrapped = wrap(kek, key.secret, self._batch_context(batch_id, kind, key.key_id))
        keytables.add_batch_key(
            connection, key_id=key.key_id, batch_id=batch_id, kind=kind, day=day, wrapped=wrapped
        )

    def _open_batch_key(
        self, found: tuple[UUID, date, bytes] | None, batch_id: UUID, kind: str
    ) -> DataKey:
        if found is None:
            raise KeyMissingError(f"{kind} key of batch {batch_id}")
        key_id, day, wrapped = found
        kek = AESGCM(self._keystore.secret(_day_name(kind, day)))
        try:
            return DataKey(
                key_id, unwrap(kek, wrapped, self._batch_context(batch_id, kind, key_id))
            )
        except SealInvalidError:
            raise SealInvalidError(f"wrapped {kind} key of batch {batch_id}") from None

    def _batch_context(self, batch_id: UUID, kind: str, key_id: UUID) -> tuple[bytes, ...]:
        return (kind.encode(), self._installation, batch_id.bytes, key_id.bytes)

    def _fresh_consent_key(self, customer_id: UUID) -> tuple[UUID, UUID, bytes]:
        key = new_key(uuid4())
        context = self._consent_context(customer_id, key.key_id)
        return key.key_id, customer_id, wrap(self._consent_kek(), key.secret, context)

    def _open_consent_key(self, customer_id: UUID, key_id: UUID, wrapped: bytes) -> DataKey:
        try:
            context = self._consent_context(customer_id, key_id)
            return DataKey(key_id, unwrap(self._consent_kek(), wrapped, context))
        except SealInvalidError:
            raise SealInvalidError(f"wrapped consent key {key_id}") from None

    def _consent_kek(self) -> AESGCM:
        return AESGCM(self._keystore.secret("consent"))

    def _consent_context(self, customer_id: UUID, key_id: UUID) -> tuple[bytes, ...]:
        return (b"consent", self._installation, customer_id.bytes, key_id.bytes)


def slice_of(customer_id: UUID) -> int:
    """Return which slice of an expiry period a customer's keys belong to: the id's top bits."""
    return customer_id.int >> (128 - SLICE_BITS)


def _kek_name(period: str, place: int, generation: int) -> str:
    return f"kek/{period}/{place}/{generation}"


def _day_name(kind: str, day: date) -> str:
    return f"day/{kind}/{day.isoformat()}"
