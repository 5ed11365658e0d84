"""How the keys stand: generations, dirty buckets, what a turn would destroy."""

from collections.abc import Sequence
from dataclasses import dataclass

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.database.buckets import BucketCount
from custody.database.engine import transaction
from custody.keys.keystore import Rotation


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyStanding:
    """How the keys stand.

    Attributes:
        provider: What keeps the root key.
        root: The root key's generation.
        rotation_under_way: Whether a rotation was cut off; the next act on keys finishes it.
        entries: How many keys the keystore holds.
        buckets: Counts by expiry period.
    """

    provider: str
    root: int
    rotation_under_way: bool
    entries: int
    buckets: Sequence[BucketCount]


def key_standing(custody: Custody) -> KeyStanding:
    """Return how the keys stand."""
    return KeyStanding(
        provider=custody.keyring.keystore.kind,
        root=custody.keyring.keystore.generation,
        rotation_under_way=custody.keyring.keystore.is_ending,
        entries=len(custody.keyring.keystore.names),
        buckets=custody.keyring.count_buckets(),
    )


def rotate_root(custody: Custody, actor: Actor) -> Rotation:
    """Give the keystore a new root key and destroy the old one.

    Raises:
        RootUnavailableError: The root key cannot be had, or an entry does not open; the old root
            stays.
    """
    rotation = custody.keyring.rotate_root()
    with transaction(custody.data) as connection:
        facts = {"root": rotation.generation, "kept": rotation.kept}
        record(connection, custody, actor, "key:root:rotated", facts)
    return rotation
