"""Verification: ledger and checkpoints, certificates, policy versions, every key and seal."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.certify import verify_certificate
from custody.acts.checkpoints import bring_up_to_date, cosigned_sizes, known_heads
from custody.acts.context import Custody
from custody.acts.references import check_references
from custody.acts.sealed_places import open_every_place
from custody.acts.sealing import open_present
from custody.database import installation as installation_tables
from custody.database import ledger, plans, quality, records, tree
from custody.database.engine import transaction
from custody.database.tree import Waiting
from custody.errors import UsageError
from custody.gates import SUITE_DOMAIN, read_result, read_suite
from custody.identifiers import CERTIFICATE, show_id
from custody.ledger import LedgerBrokenError, Retirement, Walk, walk_tree
from custody.merkle import TreeHead
from custody.note import Note
from custody.policy.build import digest_of

_PAGE: Final = 2000
_LAST_ANY_MONTH: Final = 28
_LEAP: Final = timedelta(days=4)  # what days of a month and leap years make, and clocks


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedLedger:
    """The tree whose every entry was checked.

    Attributes:
        checkpoints: How many checkpoints it was compared with.
        retired: What says which entries were removed past their retention; None where all are
            there. Their leaves were checked.
        waiting: The entries that are not in the tree yet; none of them is proved by it.
    """

    head: TreeHead
    checkpoints: int
    waiting: Waiting
    retired: Retirement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was found in order; anything out of order raises instead."""

    ledger: VerifiedLedger
    policies: int
    suites: int
    certificates: int
    keys: int
    records: int
    seals: int


def verify_installation(
    custody: Custody, *, deep: bool = False, given: Iterable[Note] = ()
) -> Verified:
    """Check the control record; with ``deep`` also open every wrapped key and every seal.

    1. The ledger: every entry, its place, its tree, and every checkpoint kept outside the
    database, with those that are ``given``. 2. Every stored policy and quality suite against its
    digest; no suite is missing of which the ledger has a result. 3. Every certificate's
    signature. 4. Every entry of the keystore and every wrapped key. 5. Every seal of every record.
    6. Every other seal: intake, quarantine, consent documents, batch locations, and the
    references beside identity tags, each against its tag.

    Raises:
        LedgerBrokenError: An entry is not what it was; its place is named.
        CheckpointContradictedError: The ledger does not begin with what a checkpoint vouches for.
        NoteInvalidError: A checkpoint is not signed by this installation.
        RootUnavailableError: An entry of the keystore does not open; it is named.
        SealInvalidError: A key or a seal does not open; its place is named.
        UsageError: A certificate's signature does not verify.
    """
    return Verified(
        ledger=verify_ledger(custody, given),
        policies=_verify_policies(custody),
        suites=_verify_suites(custody),
        certificates=_verify_certificates(custody),
        keys=_open_every_key(custody) if deep else 0,
        records=_open_every_record(custody) if deep else 0,
        seals=_open_every_other(custody) if deep else 0,
    )


def verify_ledger(custody: Custody, given: Iterable[Note]) -> VerifiedLedger:
    """Walk the tree as it is at one moment; what others append meanwhile follows it.

    Raises:
        LedgerBrokenError: An entry is not what it was, or went before its time.
        CheckpointContradictedError: The ledger does not begin with what a checkpoint vouches for.
        NoteInvalidError: A checkpoint is not signed by this installation.
    """
    bring_up_to_date(custody)
    known = list(known_heads(custody, given))
    with transaction(custody.data) as connection:
        tree.read_as_one(connection)
        head, waiting = tree.tree_head(connection), tree.waiting(connection)
        walk = walk_tree(tree.read_leaves(connection, head.size), known)
        _compare_kept(connection, walk, head)
        if waiting.seconds > tree.LONGEST_WAIT_SECONDS:
            raise LedgerBrokenError(head.size, "entries are kept from their places in the tree")
        if tree.count_entries(connection) != head.size - walk.gone + waiting.entries:
            raise LedgerBrokenError(head.size, "entries stand outside the tree")
    if walk.retired is not None:
        _require_aged(custody, walk.retired)
    return VerifiedLedger(head=head, checkpoints=len(known), waiting=waiting, retired=walk.retired)


def _require_aged(custody: Custody, retired: Retirement) -> None:
    """Check by what the witness saw that retired entries were as old as they had to be.

    Where a checkpoint of fewer entries was cosigned later than so many years before, some of those
    that went were younger.

    Raises:
        LedgerBrokenError: They were younger.
    """
    until = min(retired.at, custody.now())
    youngest = until.replace(year=until.year - retired.years, day=min(until.day, _LAST_ANY_MONTH))
    for size, seen in cosigned_sizes(custody):
        if size < retired.upto and seen > youngest + _LEAP:
            raise LedgerBrokenError(size, "entries were retired before their time")


def _compare_kept(connection: Connection, walk: Walk, head: TreeHead) -> None:
    """Compare what the database keeps of the tree with the one that its entries make.

    Raises:
        LedgerBrokenError: They differ.
    """
    size = walk.tree.size
    if size != head.size:
        raise LedgerBrokenError(size, "missing at the end of the tree")
    if tree.place_behind(connection, size) is not None:
        raise LedgerBrokenError(size, "stands behind the tree")
    if walk.tree.head() != head:
        raise LedgerBrokenError(size, "the tree's root is not that of the entries")
    for width, made in walk.tree.kept.items():
        if tree.kept_heads(connection, width) != dict(enumerate(made)):
            raise LedgerBrokenError(size, f"kept heads over {width} entries are not the tree's")
    in_tree = {one: number for one, number in tree.streams_in_tree(connection).items() if number}
    if in_tree != walk.streams:
        raise LedgerBrokenError(size, "a stream does not end where the tree says")


def _open_every_key(custody: Custody) -> int:
    return custody.keyring.check_other_keys() + custody.keyring.check_every_key()


def _open_every_other(custody: Custody) -> int:
    return open_every_place(custody) + check_references(custody)


def _verify_policies(custody: Custody) -> int:
    with transaction(custody.data) as connection:
        versions = installation_tables.policy_versions(connection)
    for digest, documents in versions.items():
        if digest_of(documents) != digest:
            raise LedgerBrokenError(0, f"policy version {digest[:16]} is not what was signed")
    return len(versions)


def _verify_suites(custody: Custody) -> int:
    """Check every kept suite against its digest, and every result against its suite."""
    with transaction(custody.data) as connection:
        kept = quality.suite_bodies(connection)
        results = [
            (one.seq, tree.place_of(connection, one.seq), json.loads(one.body)["facts"])
            for one in ledger.entries_of(connection, quality.RESULTS)
        ]
    for digest, body in kept.items():
        if hashlib.sha256(SUITE_DOMAIN.encode() + b"\0" + body.encode()).hexdigest() != digest:
            raise LedgerBrokenError(0, f"quality suite {digest[:16]} is not what was asked")
    suites = {digest: read_suite(body.encode()) for digest, body in kept.items()}
    for seq, place, facts in results:
        if read_result(facts, suites) is None:
            why = "a quality result does not follow from a suite that is kept"
            raise LedgerBrokenError(seq if place is None else place, why)
    return len(kept)


def _verify_certificates(custody: Custody) -> int:
    with transaction(custody.data) as connection:
        issued = plans.list_certificates(connection)
    for certificate in issued:
        try:
            verify_certificate(
                certificate.body, bytes(certificate.signature), custody.keyring.verify_key_bytes()
            )
        except UsageError as error:
            raise UsageError(error.what, show_id(CERTIFICATE, certificate.id)) from None
    return len(issued)


def _open_every_record(custody: Custody) -> int:
    count, after = 0, UUID(int=0)
    while True:
        with transaction(custody.data) as connection:
            page = records.records_after(connection, after, _PAGE)
        if not page:
            return count
        _open_page(custody, [row.id for row in page])
        count, after = count + len(page), page[-1].id


def _open_page(custody: Custody, ids: list[UUID]) -> None:
    with transaction(custody.data) as connection:
        open_present(custody, lambda: records.records_by_id(connection, ids))
