"""Verification: the ledger's chain, certificates, policy versions, every key and seal."""

from dataclasses import dataclass
from itertools import takewhile
from typing import Final
from uuid import UUID

from custody.acts.certify import verify_certificate
from custody.acts.context import Custody
from custody.acts.references import check_references
from custody.acts.sealed_places import open_every_place
from custody.acts.sealing import open_present
from custody.database import installation as installation_tables
from custody.database import ledger as tables
from custody.database import plans, records
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.identifiers import CERTIFICATE, show_id
from custody.ledger import Head, LedgerBrokenError, verify_chain
from custody.policy.build import digest_of

_PAGE: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was found in order; anything out of order raises instead."""

    entries: int
    head: Head
    policies: int
    certificates: int
    keys: int
    records: int
    seals: int


def verify_installation(custody: Custody, *, deep: bool = False) -> Verified:
    """Check the control record; with ``deep`` also open every wrapped key and every seal.

    1. The ledger's chain and head. 2. Every stored policy against its digest. 3. Every
    certificate's signature. 4. Every entry of the keystore and every wrapped key. 5. Every seal of
    every record. 6. Every other seal: intake, quarantine, consent documents, batch locations, and
    the references beside identity tags, each against its tag.

    Raises:
        LedgerBrokenError: An entry is not what it was; its number is named.
        RootUnavailableError: An entry of the keystore does not open; it is named.
        SealInvalidError: A key or a seal does not open; its place is named.
        UsageError: A certificate's signature does not verify.
    """
    head, entries = _verify_ledger(custody)
    return Verified(
        entries=entries,
        head=head,
        policies=_verify_policies(custody),
        certificates=_verify_certificates(custody),
        keys=_open_every_key(custody) if deep else 0,
        records=_open_every_record(custody) if deep else 0,
        seals=_open_every_other(custody) if deep else 0,
    )


def _verify_ledger(custody: Custody) -> tuple[Head, int]:
    """Check the chain up to the head as it is now; what others append meanwhile follows it."""
    with transaction(custody.data) as connection:
        head = tables.read_head(connection)
        known = takewhile(lambda entry: entry.seq <= head.seq, tables.read_entries(connection))
        entries = verify_chain(known, head)
        last = tables.last_entry(connection)
        if last is not None and last.seq > tables.read_head(connection).seq:
            raise LedgerBrokenError(last.seq, "stands behind the head")
    return head, entries


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
