"""Keys of batches: one for intake and one for quarantine, each under the key of its day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from custody.database import keytables
from custody.database.engine import transaction
from custody.keys.document import EntryMissingError
from custody.keys.keystore import Keystore
from custody.keys.wrapping import batch_context, day_name
from custody.seal import DataKey, KeyMissingError, SealInvalidError, new_key
from custody.suites import Suite


@dataclass(frozen=True, slots=True)
class BatchKeys:
    """Hands out, opens and deletes the keys of batches."""

    installation: bytes
    engine: Engine
    keystore: Keystore
    suite: Suite

    def key(self, batch_id: UUID, kind: str, day: date) -> DataKey:
        """Return the batch's key for intake or quarantine, making it on the first call."""
        with transaction(self.engine) as connection:
            found = keytables.batch_keys(connection, [batch_id], kind)
            if not found:
                self._add(connection, batch_id, kind, day)
                found = keytables.batch_keys(connection, [batch_id], kind)
        return self._open_found(found.get(batch_id), batch_id, kind)

    def open(self, batch_id: UUID, kind: str) -> DataKey:
        """Return the batch's key.

        Raises:
            KeyMissingError: It was destroyed with its last chunk, or at the end of its days.
        """
        with transaction(self.engine) as connection:
            found = keytables.batch_keys(connection, [batch_id], kind)
        return self._open_found(found.get(batch_id), batch_id, kind)

    def open_those(self, batches: Iterable[UUID], kind: str) -> dict[UUID, DataKey]:
        """Return the keys of the batches that have one."""
        with transaction(self.engine) as connection:
            found = keytables.batch_keys(connection, batches, kind)
        return {batch_id: self._open(key, batch_id, kind) for batch_id, key in found.items()}

    def known(self, batches: Iterable[UUID], kind: str) -> set[UUID]:
        """Return which of the batches have a key."""
        with transaction(self.engine) as connection:
            return set(keytables.batch_keys(connection, batches, kind))

    def drop(self, batch_id: UUID, kind: str) -> None:
        """Delete the batch's key row; running it again is success."""
        with transaction(self.engine) as connection:
            keytables.drop_batch_key(connection, batch_id, kind)

    def check(self) -> int:
        """Open every key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        with transaction(self.engine) as connection:
            found = keytables.every_batch_key(connection)
        for batch_id, kind, key_id, day, wrapped in found:
            self._open((key_id, day, wrapped), batch_id, kind)
        return len(found)

    def _add(self, connection: Connection, batch_id: UUID, kind: str, day: date) -> None:
        # Under the lock, and looked at anew: the key of a past day may have been destroyed since.
        name = day_name(kind, day)
        keytables.lock_keystore(connection)
        self.keystore.add([name])
        key = new_key(uuid4())
        context = batch_context(self.installation, batch_id, kind, key.key_id)
        wrapped = self.keystore.wrapping_key(name).wrap(key.secret, context, self.suite)
        keytables.add_batch_key(
            connection, key_id=key.key_id, batch_id=batch_id, kind=kind, day=day, wrapped=wrapped
        )

    def _open_found(
        self, found: tuple[UUID, date, bytes] | None, batch_id: UUID, kind: str
    ) -> DataKey:
        if found is None:
            raise KeyMissingError(f"{kind} key of batch {batch_id}")
        return self._open(found, batch_id, kind)

    def _open(self, found: tuple[UUID, date, bytes], batch_id: UUID, kind: str) -> DataKey:
        key_id, day, wrapped = found
        context = batch_context(self.installation, batch_id, kind, key_id)
        try:
            kek = self.keystore.wrapping_key(day_name(kind, day))
            return DataKey(key_id, kek.unwrap(wrapped, context))
        except EntryMissingError:
            why = "the key that wrapped it is destroyed"
            raise KeyMissingError(f"{kind} key of batch {batch_id}: {why}") from None
        except SealInvalidError:
            raise SealInvalidError(f"wrapped {kind} key of batch {batch_id}") from None
