"""Whose rows these are: subject references to tags, tags to customers, new people made known."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import customers, identities, records
from custody.database.identities import IdentityTag
from custody.database.records import RecordKey
from custody.errors import CustodyError
from custody.identity import Directory, Kind, Reference, refer
from custody.keys.tags import Epochs
from custody.policy.model import Dataset
from custody.randomness import Pool
from custody.record import Value
from custody.reference import IDENTITY, reference_name, seal_reference
from custody.seal import DataKey


class ChangedMeanwhileError(CustodyError):
    """Somebody else changed what this unit of work relies on; it is to be done again."""

    code = "changed_meanwhile"


def epochs_of(custody: Custody, connection: Connection) -> Epochs:
    """Return what makes identity tags, as the database says now."""
    return custody.keyring.tags.epochs(identities.read_epoch(connection).epoch)


def kinds_of(
    custody: Custody, epochs: Epochs, dataset: Dataset, namespace: str
) -> list[tuple[str, Kind]]:
    """Return the subject references of a dataset, each by its field, and how they are tagged."""
    now, before = epochs.now, epochs.before
    found = []
    for declared in dataset.references:
        within = namespace if declared.namespaced else ""
        kind = Kind(
            reference_name(declared.name, within),
            declared.single,
            now.references(declared.name, within),
            custody.keyring.tags.suppressions(declared.name, within),
            before.references(declared.name, within) if before else None,
        )
        found.append((declared.field, kind))
    return found


def record_key_of(dataset: Dataset, values: Mapping[str, Value]) -> tuple[str, ...] | None:
    """Return the parts of a record's own key, None where one is missing."""
    key = [values.get(name) for name in dataset.record_key]
    return None if None in key else tuple(map(str, key))


class RecordTag(msgspec.Struct, frozen=True):
    """The key of a record's own, and its tag of the present epoch."""

    key: tuple[str, ...]
    tag: bytes

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return "RecordTag()"


@dataclass(frozen=True, slots=True)
class RecordTags:
    """Tags the records of a dataset, for a purpose and within a namespace, by their own keys."""

    epoch: int
    now: Callable[..., bytes]
    before: Callable[..., bytes] | None

    def tagged(self, key: tuple[str, ...] | None) -> RecordTag | None:
        """Return a key with its tag, None where there is no key."""
        return None if key is None else RecordTag(key, self.now(*key))

    def stored(
        self, connection: Connection, tagged: Iterable[RecordTag | None]
    ) -> dict[bytes, RecordKey]:
        """Return what is stored under these keys, each by its tag of the present epoch."""
        whole = [one for one in tagged if one is not None]
        before = {self.before(*one.key): one.tag for one in whole} if self.before else {}
        tags = {one.tag for one in whole} | before.keys()
        found = records.record_keys(connection, tags)
        return {before.get(tag, tag): known for tag, known in found.items()}


def record_tags(epochs: Epochs, dataset: str, purpose: str, namespace: str) -> RecordTags:
    """Return what tags such records."""
    now, before = epochs.now, epochs.before
    return RecordTags(
        now.epoch,
        now.records(dataset, purpose, namespace),
        before.records(dataset, purpose, namespace) if before else None,
    )


def references_of(
    kinds: Sequence[tuple[str, Kind]], values: Mapping[str, Value]
) -> list[Reference]:
    """Return the subject references a row carries, as tags."""
    return [refer(kind, str(values[name])) for name, kind in kinds if values.get(name) is not None]


def read_directory(
    connection: Connection, epochs: Epochs, rows: Iterable[Sequence[Reference]]
) -> Directory:
    """Return what is known about the tags of a chunk's rows, all as of the present epoch.

    Raises:
        ChangedMeanwhileError: The next epoch has begun: what was looked for by tags since
            ``epochs`` was read may have been missed.
    """
    named = [reference for references in rows for reference in references]
    before = {old: one.tag for one in named if (old := one.tag_before) is not None}
    found = identities.customers_by_tag(connection, {one.tag for one in named} | before.keys())
    singles = identities.single_tags(connection, set(found.values()))
    if identities.read_epoch(connection).epoch != epochs.now.epoch:
        raise ChangedMeanwhileError
    return Directory(
        epoch=epochs.now.epoch,
        by_tag={before.get(tag, tag): customer for tag, customer in found.items()},
        singles={whose: before.get(tag, tag) for whose, tag in singles.items()},
    )


def find_subject(
    custody: Custody,
    connection: Connection,
    dataset: Dataset,
    namespace: str,
    values: Mapping[str, Value],
) -> UUID | None:
    """Return the customer to whom a row's references lead, None when nobody knows any of them.

    Raises:
        IdentityConflictError: They lead to two customers, or contradict what is known.
        ChangedMeanwhileError: The next epoch of tags has begun.
    """
    epochs = epochs_of(custody, connection)
    references = references_of(kinds_of(custody, epochs, dataset, namespace), values)
    return read_directory(connection, epochs, [references]).find(references)


def read_suppressed(
    custody: Custody,
    connection: Connection,
    directory: Directory,
    rows: Iterable[Sequence[Reference]],
) -> dict[bytes, datetime]:
    """Return when those whom nobody knows, of the rows' subjects, were erased."""
    by_tag = directory.by_tag
    unknown = (row for row in rows if not any(one.tag in by_tag for one in row))
    tags = {one.suppression_tag for row in unknown for one in row}
    return customers.suppressed(connection, tags, custody.today()) if tags else {}


def is_suppressed(erased: Mapping[bytes, datetime], references: Iterable[Reference]) -> bool:
    """Whether somebody whom nobody knows was erased, and is not to come back unasked."""
    return bool(erased) and any(one.suppression_tag in erased for one in references)


def write_learnt(
    custody: Custody,
    connection: Connection,
    directory: Directory,
    keys: Mapping[tuple[UUID, str], DataKey],
) -> None:
    """Add the tags that a chunk brought, each with its reference sealed beside it.

    Args:
        custody: The installation.
        connection: The data database, with the customers locked.
        directory: What is known, and what was learnt.
        keys: Each customer's key for the period ``IDENTITY`` (:meth:`Directory.keys_wanted`).

    Raises:
        ChangedMeanwhileError: The next epoch of tags has begun.
        UniqueViolation: Another process gave one of the tags to somebody meanwhile.
    """
    epoch = identities.share_epoch(connection).epoch
    if epoch != directory.epoch:
        raise ChangedMeanwhileError
    installation, suite, randomness = custody.installation_id, custody.suite, Pool()
    learnt = sorted(directory.learnt, key=lambda pair: pair[1].tag)
    tags = (
        IdentityTag(
            tag=r.tag,
            customer_id=customer,
            reference=r.name,
            single=r.single,
            key_id=(key := keys[customer, IDENTITY]).key_id,
            sealed=seal_reference(key, installation, customer, r.name, r.value, suite, randomness),
        )
        for customer, r in learnt
    )
    if learnt:
        identities.copy_tags(connection, tags, epoch)


def lift_suppressions(connection: Connection, directory: Directory) -> None:
    """Forget the erasure of people who returned lawfully: their new tags were let in."""
    tags = [reference.suppression_tag for _, reference in directory.learnt]
    if tags:
        customers.lift_suppression(connection, tags)


def generations_of(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return the generation of each customer that exists and is active."""
    found = customers.read_customers(connection, ids)
    return {
        customer: generation for customer, (generation, state) in found.items() if state == "active"
    }
