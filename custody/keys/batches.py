"""Keys of batches: one for intake and one for quarantine, each under the key of its day."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from custody.database import keytables, otherkeys
from custody.database.engine import transaction
from custody.database.otherkeys import BatchKey
from custody.keys.document import EntryMissingError
from custody.keys.keystore import Keystore
from custody.keys.pages import over_pages
from custody.keys.wrapping import batch_context, day_name
from custody.seal import (
    Context,
    DataKey,
    KeyMissingError,
    SealInvalidError,
    WrappingKey,
    new_key,
)
from custody.steps import reached
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
            found = otherkeys.batch_keys(connection, [batch_id], kind)
            if not found:
                self._add(connection, batch_id, kind, day)
                found = otherkeys.batch_keys(connection, [batch_id], kind)
        return self._open_found(found.get(batch_id), batch_id, kind)

    def open(self, batch_id: UUID, kind: str) -> DataKey:
        """Return the batch's key.

        Raises:
            KeyMissingError: It was destroyed with its last chunk, or at the end of its days.
        """
        with transaction(self.engine) as connection:
            found = otherkeys.batch_keys(connection, [batch_id], kind)
        return self._open_found(found.get(batch_id), batch_id, kind)

    def open_those(self, batches: Iterable[UUID], kind: str) -> dict[UUID, DataKey]:
        """Return the keys of the batches that have one."""
        with transaction(self.engine) as connection:
            found = otherkeys.batch_keys(connection, batches, kind)
        return {batch_id: self._open(key) for batch_id, key in found.items()}

    def known(self, batches: Iterable[UUID], kind: str) -> set[UUID]:
        """Return which of the batches have a key."""
        with transaction(self.engine) as connection:
            return set(otherkeys.batch_keys(connection, batches, kind))

    def of_days_before(self, day: date, kind: str) -> set[UUID]:
        """Return the batches that have a key of a day before this one."""
        with transaction(self.engine) as connection:
            return otherkeys.batches_with_keys_before(connection, kind, day)

    def drop(self, batch_id: UUID, kind: str) -> None:
        """Delete the batch's key row; running it again is success."""
        with transaction(self.engine) as connection:
            otherkeys.drop_batch_key(connection, batch_id, kind)

    def check(self) -> int:
        """Open every key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        return over_pages(
            self.engine,
            otherkeys.batch_keys_after,
            lambda _, keys: [self._open(key) for key in keys],
        )

    def wrap_anew(self) -> int:
        """Wrap again what is not wrapped under the suite, and return how many keys.

        Each is opened again and compared before it takes the place of the old one.

        Raises:
            SealInvalidError: One does not open; the place names it, its page stays as it is.
        """

        def again(connection: Connection, keys: Sequence[BatchKey]) -> None:
            otherkeys.put_batch_keys(connection, [(key.key_id, self._again(key)) for key in keys])
            reached("turn:batch-keys-wrapped")

        return over_pages(
            self.engine,
            lambda connection, *behind: otherkeys.batch_keys_to_wrap(
                connection, self.suite, *behind
            ),
            again,
        )

    def _add(self, connection: Connection, batch_id: UUID, kind: str, day: date) -> None:
        # Under the lock, and looked at anew: the key of a past day may have been destroyed since.
        name = day_name(kind, day)
        keytables.lock_keystore(connection)
        self.keystore.add([name])
        key = new_key(uuid4())
        context = batch_context(self.installation, batch_id, kind, key.key_id)
        wrapped = self.keystore.wrapping_key(name).wrap(key.secret, context, self.suite)
        otherkeys.add_batch_key(connection, BatchKey(key.key_id, batch_id, kind, day, wrapped))

    def _open_found(self, found: BatchKey | None, batch_id: UUID, kind: str) -> DataKey:
        if found is None:
            raise KeyMissingError(f"{kind} key of batch {batch_id}")
        return self._open(found)

    def _open(self, key: BatchKey) -> DataKey:
        secret = self._with_kek(key, lambda kek, context: kek.unwrap(key.wrapped, context))
        return DataKey(key.key_id, secret)

    def _again(self, key: BatchKey) -> bytes:
        return self._with_kek(
            key, lambda kek, context: kek.wrap_again(key.wrapped, context, self.suite)
        )

    def _with_kek(self, key: BatchKey, act: Callable[[WrappingKey, Context], bytes]) -> bytes:
        """Return what ``act`` makes of what wraps a key, and of what the key is bound to.

        Raises:
            SealInvalidError: The key does not open; it is named.
            KeyMissingError: Of these: the key of its day is destroyed.
        """
        context = batch_context(self.installation, key.batch_id, key.kind, key.key_id)
        try:
            return act(self.keystore.wrapping_key(day_name(key.kind, key.day)), context)
        except EntryMissingError:
            why = "the key that wrapped it is destroyed"
            raise KeyMissingError(f"{key.kind} key of batch {key.batch_id}: {why}") from None
        except SealInvalidError:
            raise SealInvalidError(f"wrapped {key.kind} key of batch {key.batch_id}") from None
