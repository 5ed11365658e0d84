"""Whose rows these are: subject references to tags, tags to customers, new people made known."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import customers
from custody.database.customers import IdentityTag
from custody.errors import CustodyError
from custody.identity import Directory, Kind, Reference, refer
from custody.policy.model import Dataset
from custody.record import Value


class ChangedMeanwhileError(CustodyError):
    """Somebody else changed what this unit of work relies on; it is to be done again."""

    code = "changed_meanwhile"


def kinds_of(custody: Custody, dataset: Dataset, namespace: str) -> list[tuple[str, Kind]]:
    """Return the subject references of a dataset, each by its field, and how they are tagged."""
    tags = custody.keyring.tags
    found = []
    for declared in dataset.references:
        within = namespace if declared.namespaced else ""
        kind = Kind(
            f"{within}:{declared.name}" if within else declared.name,
            declared.single,
            tags.identities(declared.name, within),
            tags.suppressions(declared.name, within),
        )
        found.append((declared.field, kind))
    return found


def references_of(
    kinds: Sequence[tuple[str, Kind]], values: Mapping[str, Value]
) -> list[Reference]:
    """Return the subject references a row carries, as tags."""
    return [refer(kind, str(values[name])) for name, kind in kinds if values.get(name) is not None]


def read_directory(connection: Connection, rows: Iterable[Sequence[Reference]]) -> Directory:
    """Return what is known about the tags of a chunk's rows."""
    tags = {reference.tag for references in rows for reference in references}
    by_tag = customers.customers_by_tag(connection, tags)
    return Directory(by_tag=by_tag, singles=customers.single_tags(connection, set(by_tag.values())))


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


def write_learnt(connection: Connection, directory: Directory) -> None:
    """Add the tags that a chunk brought.

    Raises:
        ChangedMeanwhileError: Another process gave one of the tags to somebody meanwhile.
    """
    tags = [
        IdentityTag(
            tag=r.tag,
            customer_id=customer,
            reference=r.name,
            single=r.single,
            suppression=r.suppression_tag,
        )
        for customer, r in sorted(directory.learnt, key=lambda pair: pair[1].tag)
    ]
    if tags and customers.add_tags(connection, tags) != len(tags):
        raise ChangedMeanwhileError


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
