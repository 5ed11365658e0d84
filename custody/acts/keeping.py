"""How the keys stand: generations, dirty buckets, what a turn would destroy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from custody.acts.context import Actor, Custody
from custody.acts.period_end import periods_to_end
from custody.acts.recording import record
from custody.database.buckets import BucketCount
from custody.database.engine import transaction
from custody.database.ledger import entries_of
from custody.errors import UsageError
from custody.keys.keystore import Rotation
from custody.keys.wrapping import WrappedCount
from custody.ledger import RETIRED
from custody.steps import reached

# Behind the end of each, something can be opened only with a keystore from before it. One that was
# killed may have come that far and not have said so: then its beginning counts.
_DESTROYING: Final = {
    "key:turn:begun": "key:turn:completed",
    "period:data:ended": "period:keys:destroyed",
    "identity:tags:begun": "identity:tags:renewed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyStanding:
    """How the keys stand.

    Attributes:
        provider: What keeps the root key.
        root: The root key's generation.
        rotation_under_way: Whether a rotation was cut off; the next act on keys finishes it.
        entries: How many keys the keystore holds.
        buckets: Counts by expiry period.
        wrapped: How many keys of each kind are wrapped under which suite.
        to_end: The periods that are over and whose keys are not destroyed yet.
    """

    provider: str
    root: int
    rotation_under_way: bool
    entries: int
    buckets: Sequence[BucketCount]
    wrapped: Sequence[WrappedCount]
    to_end: Sequence[str]


def key_standing(custody: Custody) -> KeyStanding:
    """Return how the keys stand."""
    return KeyStanding(
        provider=custody.keyring.keystore.kind,
        root=custody.keyring.keystore.generation,
        rotation_under_way=custody.keyring.keystore.is_ending,
        entries=len(custody.keyring.keystore.names),
        buckets=custody.keyring.count_buckets(),
        wrapped=custody.keyring.count_wrapped(),
        to_end=periods_to_end(custody),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """An act of destruction that an older backup of the keystore would undo.

    Attributes:
        event: The ledger's event; that of the beginning where a killed act has not said its end.
        about: The expiry period that ended; empty for a turn.
        destroyed: How many key-encryption keys went, as far as the ledger says.
    """

    seq: int
    at: datetime
    event: str
    about: str
    destroyed: int


def undone_by_backup(custody: Custody, oldest: date) -> list[Undone]:
    """Return what backups would undo, if the oldest one of keystore and root key is of that day.

    Such a backup opens, together with backups of both databases, what lay under the keys that were
    destroyed since. An act before that day is final against all of them; the day itself counts, for
    nobody knows at what hour the backup was made.

    Raises:
        UsageError: The ledger says nothing any more of what was destroyed since that day: those
            entries were past their retention.
    """
    begin = datetime.combine(oldest, time.min, custody.zone)
    with transaction(custody.data) as connection:
        entries = entries_of(connection, (*_DESTROYING, *_DESTROYING.values()))
        retired = entries_of(connection, [RETIRED])
    for one in retired:
        known_from = json.loads(one.body)["facts"].get("before", "")
        if known_from > begin.astimezone(UTC).isoformat():
            raise UsageError("the ledger knows of destruction only since", known_from[:10])
    undone, ended = list[Undone](), set[tuple[str, str]]()
    for one in reversed(entries):
        facts = json.loads(one.body)["facts"]
        about = str(facts.get("period", ""))
        end = _DESTROYING.get(one.event)
        if end is None:
            ended.add((one.event, about))
        # What has begun and not ended may have destroyed keys at any time since.
        is_undone = one.at >= begin if end is None else (end, about) not in ended
        if is_undone:
            destroyed = int(facts.get("destroyed", facts.get("destroyed_now", 0)))
            undone.append(
                Undone(seq=one.seq, at=one.at, event=one.event, about=about, destroyed=destroyed)
            )
    return undone[::-1]


def rotate_root(custody: Custody, actor: Actor) -> Rotation:
    """Give the keystore a new root key and destroy the old one.

    The ledger says so before and after: what it cannot say is not done.

    Raises:
        RootUnavailableError: The root key cannot be had, or an entry does not open; the old root
            stays.
    """
    facts = {"root": custody.keyring.keystore.generation}
    with transaction(custody.data) as connection:
        record(connection, custody, actor, "key:root:ending", facts)
    reached("root:ending")
    rotation = custody.keyring.rotate_root()
    with transaction(custody.data) as connection:
        facts = {"root": rotation.generation, "kept": rotation.kept}
        record(connection, custody, actor, "key:root:rotated", facts)
    return rotation
