"""Proofs: that an entry stands in the ledger, and what bulk acts did to one single record.

A proof shows one entry, or one part of one, and nothing of what stands beside it but hashes.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.sealing import open_records, salts_of
from custody.canonical import parse_canonical
from custody.database import plans, records, tree
from custody.database.engine import transaction
from custody.database.ledger import entry_of, read_parts
from custody.errors import UsageError
from custody.identifiers import CUSTOMER, show_id
from custody.ledger import entry_bytes
from custody.merkle import (
    TreeHead,
    inclusion_ranges,
    leaf_hash,
    root_of_leaves,
    verify_inclusion,
)
from custody.parts import opening_of, part_leaf, split_leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryProof:
    """That an entry stands at a place of the tree with this head."""

    entry: bytes
    place: int
    head: TreeHead
    path: Sequence[bytes]

    def verify(self) -> None:
        """Check it against the head it names.

        Raises:
            ProofInvalidError: The entry does not stand there.
        """
        verify_inclusion(leaf_hash(self.entry), self.place, self.head, self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartProof:
    """That an entry's act did something to a record, of this version.

    Attributes:
        seq: The entry's number.
        head: The size and root of its parts, as the entry names them.
    """

    seq: int
    record: UUID
    version: int
    opening: bytes = field(repr=False)
    index: int
    head: TreeHead
    path: Sequence[bytes]

    def verify(self) -> None:
        """Check it against the parts it names.

        Raises:
            ProofInvalidError: The record is not among them.
        """
        leaf = part_leaf(self.opening, self.record, self.version)
        verify_inclusion(leaf, self.index, self.head, self.path)


def prove_entry(custody: Custody, seq: int) -> EntryProof:
    """Prove that an entry stands in the tree as it is now.

    Raises:
        UsageError: There is none with this number, or it has no place in the tree yet.
    """
    with transaction(custody.data) as connection:
        tree.read_as_one(connection)
        entry, place = entry_of(connection, seq), tree.place_of(connection, seq)
        head = tree.tree_head(connection)
        if entry is None or place is None:
            raise UsageError("no such entry in the ledger's tree", str(seq))
        path = tree.roots_of(connection, inclusion_ranges(place, head.size))
    return EntryProof(entry=entry_bytes(entry), place=place, head=head, path=path)


def prove_parts(custody: Custody, record_id: UUID) -> list[PartProof]:
    """Prove all that bulk acts did to a record that is there, in order.

    Raises:
        UsageError: There is no such record, or it does not open: nobody can prove its parts.
    """
    with transaction(custody.data) as connection:
        rows = records.records_by_id(connection, [record_id])
        salt = salts_of(custody, rows).get(record_id)
        if salt is None:
            raise UsageError("no such record that opens", str(record_id))
        return _prove(connection, salt, {record_id: rows[0].version})


def prove_parts_of(custody: Custody, customer_id: UUID) -> list[PartProof]:
    """Prove all that bulk acts did to a customer's records, also to those that were destroyed.

    Raises:
        UsageError: Nothing is held of the customer that opens: nobody can prove anything.
    """
    with transaction(custody.data) as connection:
        rows = records.records_of(connection, [customer_id])
        salts = salts_of(custody, rows)
        if not salts:
            raise UsageError("nothing is held of this customer", show_id(CUSTOMER, customer_id))
        versions = plans.destroyed_of(connection, customer_id)
        versions |= {row.id: row.version for row in rows}
        return _prove(connection, next(iter(salts.values())), versions)


def alias_of_customer(custody: Custody, customer_id: UUID) -> str:
    """Return the name by which the ledger counts a customer.

    Raises:
        UsageError: Nothing is held of the customer.
    """
    with transaction(custody.data) as connection:
        rows = records.records_of(connection, [customer_id])
    for one in open_records(custody, rows[:1]):
        return one.alias
    raise UsageError("nothing is held of this customer", show_id(CUSTOMER, customer_id))


def _prove(connection: Connection, salt: bytes, versions: Mapping[UUID, int]) -> list[PartProof]:
    """Return every part of records up to their last versions; all of one person."""
    wanted = [(record, one) for record, last in versions.items() for one in range(1, last + 1)]
    return [
        proof
        for seq, body, array in read_parts(connection)
        for proof in _own_parts(seq, body, split_leaves(array), salt, wanted)
    ]


def _own_parts(
    seq: int, body: str, leaves: Sequence[bytes], salt: bytes, wanted: Sequence[tuple[UUID, int]]
) -> Iterator[PartProof]:
    """Yield the parts of an act that are of one of these records; its leaves are sorted."""
    named = parse_canonical(body.encode())["facts"]["parts"]
    act, head = bytes.fromhex(named["act"]), bytes.fromhex(named["root"])
    for record, version in wanted:
        opening = opening_of(salt, act, record)
        own = part_leaf(opening, record, version)
        index = bisect_left(leaves, own)
        if leaves[index : index + 1] == [own]:
            yield PartProof(
                seq=seq,
                record=record,
                version=version,
                opening=opening,
                index=index,
                head=TreeHead(size=named["count"], root=head),
                path=[root_of_leaves(leaves[f:e]) for f, e in inclusion_ranges(index, len(leaves))],
            )
