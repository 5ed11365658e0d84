"""Whose rows these are: subject references to tags, tags to customers, new people made known."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import customers
from custody.database.customers import IdentityTag
from custody.errors import CustodyError
from custody.identity import Directory, Reference
from custody.policy.model import Dataset
from custody.record import Value


class ChangedMeanwhileError(CustodyError):
    """Somebody else changed what this unit of work relies on; it is to be done again."""

    code = "changed_meanwhile"


def references_of(
    custody: Custody, dataset: Dataset, namespace: str, values: Mapping[str, Value]
) -> list[Reference]:
    """Return the subject references a row carries, as tags."""
    found = []
    for declared in dataset.references:
        value = values.get(declared.field)
        if value is None:
            continue
        within = namespace if declared.namespaced else ""
        tags = custody.keyring.tags
        found.append(
            Reference(
                name=f"{within}:{declared.name}" if within else declared.name,
                single=declared.single,
                tag=tags.identity(declared.name, within, str(value)),
                suppression_tag=tags.suppression(declared.name, within, str(value)),
            )
        )
    return found


def read_directory(connection: Connection, rows: Iterable[Sequence[Reference]]) -> Directory:
    """Return what is known about the tags of a chunk's rows."""
    tags = {reference.tag for references in rows for reference in references}
    by_tag = customers.customers_by_tag(connection, tags)
    return Directory(by_tag=by_tag, singles=customers.single_tags(connection, set(by_tag.values())))


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
