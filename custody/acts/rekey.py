"""Re-encryption: what is not sealed under the policy's suite is sealed again, in place.

By chunks of customers in order of their ids: the customers are locked, every compartment of theirs
that is under another suite is opened and sealed again under the same data key, and the ledger's
entry goes with it. Readers go on throughout, for both the old seal and the new open under the key.
What is left to do is read from the seals themselves, so a run that was killed is simply run again.
A seal that does not open stays as it is and is counted; everything else goes on.
A compartment that lies there in clear is listed (:mod:`custody.acts.coverage`), and sealed when
asked for; that is how old records without encryption are found and mended.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import Connection

from custody.acts.collecting import uncollected
from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.references import rekey_references
from custody.acts.rekey_places import rekey_places
from custody.acts.sealing import contexts_of
from custody.database import customers, records, sealed
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.keys.opening import those_that_open
from custody.randomness import Pool
from custody.record import RecordRow, decode_payload, encode_compartment
from custody.seal import (
    DataKey,
    KeyMissingError,
    SealInvalidError,
    is_under,
    open_seal,
    seal,
    suite_of,
)
from custody.steps import reached
from custody.suites import Suite

CHUNK_RECORDS: Final = 2000
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RekeyReceipt:
    """What one chunk, or all of them, came to.

    Attributes:
        last: The last customer of the chunk, behind whom the next begins.
        records: Records of which a compartment was sealed again.
        seals: Compartments sealed again.
        unsealed: How many of them had lain there in clear.
        unreadable: How many records, and seals that are no record's, did not open and were left.
    """

    last: UUID = _FIRST
    records: int = 0
    seals: int = 0
    unsealed: int = 0
    unreadable: int = 0


def rekey(
    custody: Custody,
    actor: Actor,
    suite: Suite,
    *,
    pause_seconds: float = 0.0,
    in_clear: bool = False,
) -> Iterator[RekeyReceipt]:
    """Seal again, chunk by chunk, whatever is not under the suite; yield what each came to.

    Args:
        custody: The installation, whose policy must want the suite.
        actor: Who has it done.
        suite: The suite.
        pause_seconds: How long to wait between chunks, for the sake of others.
        in_clear: Also seal what lies there in clear. Whoever can write into the database could
            have put it there, so somebody looks at the list first.

    Raises:
        UsageError: The policy seals under another suite, so there would be no end of it.
    """
    require_wanted(custody, suite)
    yield from rekey_records(custody, actor, pause_seconds=pause_seconds, in_clear=in_clear)
    for page in chain(rekey_places(custody, actor), rekey_references(custody, actor)):
        yield RekeyReceipt(seals=page.seals, unreadable=page.unreadable)
        time.sleep(pause_seconds)


def rekey_records(
    custody: Custody,
    actor: Actor,
    after: UUID = _FIRST,
    *,
    pause_seconds: float = 0.0,
    in_clear: bool = False,
) -> Iterator[RekeyReceipt]:
    """Seal again, chunk by chunk, what the customers behind ``after`` have in records."""
    while receipt := rekey_chunk(custody, actor, after, CHUNK_RECORDS, in_clear=in_clear):
        yield receipt
        after = receipt.last
        time.sleep(pause_seconds)


def require_wanted(custody: Custody, suite: Suite) -> None:
    """Require that the policy seals under the suite.

    Raises:
        UsageError: It seals under another, so there would be no end of sealing again.
    """
    if suite is not custody.suite:
        raise UsageError("the policy seals under another suite; change crypto in settings.yaml")


def total(receipts: Iterable[RekeyReceipt]) -> RekeyReceipt:
    """Return the sum of receipts, as they come."""
    whole = RekeyReceipt()
    for one in receipts:
        whole = RekeyReceipt(
            last=one.last,
            records=whole.records + one.records,
            seals=whole.seals + one.seals,
            unsealed=whole.unsealed + one.unsealed,
            unreadable=whole.unreadable + one.unreadable,
        )
    return whole


def rekey_chunk(
    custody: Custody,
    actor: Actor,
    after: UUID,
    most: int,
    *,
    in_clear: bool = False,
) -> RekeyReceipt | None:
    """Seal again what the next customers behind ``after`` have; None where nobody is left.

    Those are the customers of the next ``most`` records to be sealed again. A record of which a
    compartment does not open stays as it is.
    """
    with transaction(custody.data) as connection:
        concerned = sealed.customers_to_reseal(connection, custody.suite, after, most)
    if not concerned:
        return None
    with uncollected(), transaction(custody.data) as connection:
        customers.lock_customers(connection, concerned)
        rows = records.lock_records_of(connection, concerned)
        keys = those_that_open(custody.keyring.open_keys, {row.key_id for row in rows})
        chunk = _Chunk(custody=custody, keys=keys, in_clear=in_clear, suite=custody.suite)
        changed = [new for row in rows if (new := chunk.sealed_again(row)) is not None]
        if changed and sealed.put_seals(connection, changed) != len(changed):
            raise KeyMissingError("a record went meanwhile")
        receipt = RekeyReceipt(
            last=concerned[-1],
            records=len(changed),
            seals=chunk.seals,
            unsealed=chunk.unsealed,
            unreadable=chunk.unreadable,
        )
        if changed:
            _record(connection, custody, actor, receipt)
    reached("rekey:chunk-sealed")
    return receipt


@dataclass(slots=True)
class _Chunk:
    """The records of some customers on their way to another suite."""

    custody: Custody
    keys: dict[UUID, DataKey]
    in_clear: bool
    suite: Suite
    randomness: Pool = field(default_factory=Pool)
    seals: int = 0
    unsealed: int = 0
    unreadable: int = 0

    def sealed_again(self, row: RecordRow) -> RecordRow | None:
        """Return the record with its compartments under the suite, None where it stays as it is."""
        key, context_of = self.keys.get(row.key_id), contexts_of(self.custody, row)
        changes, unsealed = dict[str, bytes](), 0
        for level, there in row.compartments():
            suite = suite_of(there)
            if not self._is_to_change(row, there, suite):
                continue
            context = context_of(level)
            try:
                if key is None:
                    raise KeyMissingError
                plain = self._plain(row, there) if suite is None else open_seal(key, there, context)
            except (msgspec.DecodeError, SealInvalidError):
                self.unreadable += 1
                return None
            unsealed += suite is None
            changes[level] = seal(key, plain, context, self.suite, self.randomness)
        self.seals += len(changes)
        self.unsealed += unsealed
        return structs.replace(row, **changes) if changes else None

    def _is_to_change(self, row: RecordRow, there: bytes, suite: Suite | None) -> bool:
        if suite is None:
            return self.in_clear
        return suite is not self.suite or not is_under(there, row.key_id)

    def _plain(self, row: RecordRow, there: bytes) -> bytes:
        """Return what lies there in clear as it would have been sealed."""
        payload = decode_payload(there)
        return encode_compartment(self.custody.policy.datasets.get(row.dataset), payload)


def _record(connection: Connection, custody: Custody, actor: Actor, receipt: RekeyReceipt) -> None:
    facts = {
        "suite": custody.suite.name,
        "records": receipt.records,
        "seals": receipt.seals,
        "unsealed": receipt.unsealed,
        "unreadable": receipt.unreadable,
    }
    record(connection, custody, actor, "record:seals:renewed", facts)
