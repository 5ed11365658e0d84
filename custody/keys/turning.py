"""Turning buckets: what survives is wrapped anew, then the old key-encryption keys are destroyed.

No statement of SQL makes a deleted key's bytes go away: they stay in dead rows, in the write-ahead
log, in replicas and backups. They become noise when the key that opens them is gone. Steps:

1. A key-encryption key of the next generation is made for every bucket that is to turn.
2. Each bucket, one transaction: it is locked against new keys, every key in it is opened, wrapped
   under the new one, opened again and compared; the bucket advances.
3. Of all buckets: keys of batches and consents that are under another suite are wrapped again.
4. The keystore is rotated without the generations that no bucket has any more, and without the keys
   of days whose batches are gone. With the old root the old generations are destroyed.

Killed anywhere, every key opens; what is left to do is read from bucket and keystore by the next
turn. A generation made in step 1 by a turn that was killed is used by the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, Engine

from custody.database import buckets, keytables, otherkeys
from custody.database.buckets import BareKey, Bucket
from custody.database.engine import transaction
from custody.errors import CustodyError
from custody.keys.batches import BatchKeys
from custody.keys.consents import ConsentKeys
from custody.keys.keystore import Keystore
from custody.keys.wrapping import (
    BucketKek,
    kek_name,
    read_day_name,
    read_kek_name,
)
from custody.seal import SealInvalidError
from custody.steps import reached
from custody.suites import Suite

_CHUNK_KEYS: Final = 10_000


class PeriodClosedError(CustodyError):
    """The keys of an expiry period are destroyed; none is made in it again."""

    code = "changed_meanwhile"

    def __str__(self) -> str:
        """Return which period."""
        return f"the expiry period {self.args[0]} is closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnReceipt:
    """What a turn came to.

    Attributes:
        buckets: How many buckets advanced a generation.
        keys: How many data keys were wrapped anew, each opened again and compared.
        others: How many keys of batches and consents, likewise, for they were under another suite.
        destroyed: How many key-encryption keys were destroyed.
        root: The generation of the root key now.
    """

    buckets: int
    keys: int
    others: int
    destroyed: int
    root: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodReceipt:
    """What the end of a period came to.

    Attributes:
        buckets: How many buckets are closed for good, by this run or one that was killed.
        keys: How many data keys were deleted with it.
        destroyed: How many key-encryption keys were destroyed.
        root: The generation of the root key now.
    """

    buckets: int
    keys: int
    destroyed: int
    root: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Turner:
    """Turns the buckets of one installation."""

    installation: bytes
    engine: Engine
    keystore: Keystore
    suite: Suite

    def has_work(self, today: date, *, everything: bool = False) -> bool:
        """Whether a turn would change anything."""
        self.keystore.reload()
        with transaction(self.engine) as connection:
            waiting = buckets.buckets_to_turn(connection, everything=everything)
            stale = self._stale(connection, today)
        return bool(waiting or stale or self.keystore.is_ending)

    def turn(self, today: date, *, everything: bool = False) -> TurnReceipt:
        """Turn the dirty buckets, or all, and destroy what they leave.

        Raises:
            SealInvalidError: A key does not open; its bucket stays as it is.
        """
        with transaction(self.engine) as connection:
            waiting = buckets.buckets_to_turn(connection, everything=everything)
            keytables.lock_keystore(connection)
            self.keystore.add(kek_name(period, place, g + 1) for period, place, g in waiting)
        reached("turn:keys-made")
        counts = [self._turn_bucket(*bucket) for bucket in waiting]
        turned = [count for count in counts if count is not None]
        others = self._wrap_others() if everything else 0
        destroyed = self._destroy(today)
        return TurnReceipt(
            buckets=len(turned),
            keys=sum(turned),
            others=others,
            destroyed=len(destroyed),
            root=self.keystore.generation,
        )

    def close_period(self, period: str, at: datetime, today: date) -> PeriodReceipt:
        """Destroy every key of a period in which no record lies any more; again is success.

        1. Its buckets are closed: no key is made in them from then on. 2. The keystore is rotated
        without its key-encryption keys. 3. Its data keys, noise by now, are deleted in chunks.
        """
        with transaction(self.engine) as connection:
            closed = buckets.close_buckets(connection, period, at)
        reached("period:buckets-closed")
        destroyed = self._destroy(today)
        keys = self._delete_keys(period)
        reached("period:keys-deleted")
        return PeriodReceipt(
            buckets=closed,
            keys=keys,
            destroyed=sum(name.startswith(f"kek/{period}/") for name in destroyed),
            root=self.keystore.generation,
        )

    def _delete_keys(self, period: str) -> int:
        keys = 0
        while True:
            with transaction(self.engine) as connection:
                gone = buckets.delete_keys_of_period(connection, period, _CHUNK_KEYS)
            if not gone:
                return keys
            keys += gone

    def _turn_bucket(self, period: str, place: int, generation: int) -> int | None:
        """Wrap a bucket's keys anew and return how many, None where somebody else turned it."""
        with transaction(self.engine) as connection:
            if buckets.lock_bucket(connection, period, place) != generation:
                return None
            keys = buckets.keys_of_bucket(connection, period, place)
            wrapped = self._rewrapped(keys, period, place, generation)
            ids = [own for own, _, _ in keys]
            if buckets.rewrap_keys(connection, ids, wrapped, generation + 1) != len(keys):
                raise SealInvalidError(f"a wrapped key of bucket {period}/{place} went meanwhile")
            buckets.advance_bucket(connection, period, place, generation + 1)
            reached("turn:bucket-rewrapped")
        reached("turn:bucket-advanced")
        return len(keys)

    def _wrap_others(self) -> int:
        """Wrap again the keys of batches and consents that are not under the suite."""
        parts = (self.installation, self.engine, self.keystore, self.suite)
        return BatchKeys(*parts).wrap_anew() + ConsentKeys(*parts).wrap_anew()

    def _rewrapped(
        self, keys: Sequence[BareKey], period: str, place: int, generation: int
    ) -> list[bytes]:
        old, new = (
            BucketKek(
                self.keystore.wrapping_key(kek_name(period, place, one)),
                self.installation,
                period,
                place,
                one,
            )
            for one in (generation, generation + 1)
        )
        return list(new.take_over(keys, old, self.suite))

    def _destroy(self, today: date) -> set[str]:
        """Destroy the keys under which nothing lies any more, and return their names."""
        with transaction(self.engine) as connection:
            keytables.lock_keystore(connection)
            self.keystore.reload()
            stale = self._stale(connection, today)
            if stale or self.keystore.is_ending:
                self.keystore.rotate(stale)
        reached("turn:keys-destroyed")
        return stale

    def _stale(self, connection: Connection, today: date) -> set[str]:
        """Return the names of the keys under which nothing lies any more.

        A generation ahead of its bucket's belongs to a turn that is under way, or to the next. A
        day's key is spared while its day lasts.
        """
        known = {(one.period, one.slice): one for one in buckets.every_bucket(connection)}
        days = otherkeys.batch_key_days(connection)
        return {
            name
            for name in self.keystore.names
            if _is_left_behind(name, known) or _is_of_a_past_day(name, days, today)
        }


def _is_left_behind(name: str, known: dict[tuple[str, int], Bucket]) -> bool:
    kek = read_kek_name(name)
    if kek is None:
        return False
    period, place, generation = kek
    bucket = known.get((period, place))
    if bucket is None:
        return False
    return bucket.closed_at is not None or generation < bucket.generation


def _is_of_a_past_day(name: str, days: set[tuple[str, date]], today: date) -> bool:
    found = read_day_name(name)
    return found is not None and found not in days and found[1] < today
