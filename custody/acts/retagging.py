"""Identity tags made anew under the key of the next epoch, as is done once a year.

Whoever has had the key of an epoch can try people's numbers against tags of that epoch; against
those of another it does not help. Steps:

1. A key of the next epoch is made. 2. The epoch begins: from then on whoever writes tags writes
those of the new one, and looks for both; whoever was writing is waited for. 3. Page by page the
reference beside each tag is opened, and the tag made anew. 4. So is each record's own tag, from the
key fields in the record. 5. When no tag of an earlier epoch is left, the keystore is rotated
without its key.

No epoch begins while tags of the one before the last are there: two that go on at once do the same
renewal. Killed anywhere, everybody is found; what is left to do is read from the ledger, the tags
and the keystore.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.redoing import ATTEMPTS
from custody.acts.references import PAGE, Opener, one_pass, passes, require_its_own
from custody.acts.sealing import OpenRecord, open_present
from custody.acts.subjects import ChangedMeanwhileError, record_key_of
from custody.database import identities, records
from custody.database import installation as installation_tables
from custody.database.engine import transaction
from custody.database.ledger import last_of
from custody.keys.entries import read_epoch_entry
from custody.keys.tags import Epochs
from custody.policy.model import Dataset
from custody.policy.parse import parse_policy
from custody.record import Payload, PayloadReader
from custody.reference import read_reference_name
from custody.seal import SealInvalidError
from custody.steps import reached

EVENTS: Final = ("identity:tags:begun", "identity:tags:renewed")
YEAR: Final = timedelta(days=365)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetagReceipt:
    """What making tags anew came to.

    Attributes:
        epoch: The epoch of all tags now.
        references: How many identity tags this run made anew.
        records: How many records' own tags this run made anew.
        root: The generation of the root key now.
    """

    epoch: int
    references: int
    records: int
    root: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TagStanding:
    """How the identity tags stand.

    Attributes:
        epoch: Of which epoch tags are made.
        since: When it began, ISO 8601.
        waiting: How many tags are of an earlier one.
        due: Whether the year is over, or a renewal was cut off.
    """

    epoch: int
    since: str
    waiting: int
    due: bool


def tag_standing(custody: Custody) -> TagStanding:
    """Return how the identity tags stand."""
    with transaction(custody.data) as connection:
        cut_off = last_of(connection, EVENTS) == EVENTS[0]
        now = identities.read_epoch(connection)
        waiting = identities.count_earlier(connection, now.epoch)
    return TagStanding(
        epoch=now.epoch,
        since=now.began_at.astimezone(custody.zone).isoformat(timespec="seconds"),
        waiting=waiting,
        due=cut_off or waiting > 0 or custody.now() - now.began_at >= YEAR,
    )


def renew_tags(custody: Custody, actor: Actor) -> RetagReceipt:
    """Make every identity tag anew and destroy the key of the old ones; one cut off goes on.

    Raises:
        SealInvalidError: A reference or a record does not open, or is not what its tag was made of;
            the place is named, and nothing of its page was changed.
        RootUnavailableError: The root key cannot be had; the old key is not destroyed.
        ChangedMeanwhileError: Others kept rows locked all the while; it can be run again.
    """
    epoch = _begin(custody, actor)
    renewal = _Renewal(custody=custody, epoch=epoch, epochs=custody.keyring.tags.epochs(epoch))
    total_references = total_records = 0
    for _ in passes():
        total_references += sum(one_pass(custody, renewal.references))
        total_records += sum(renewal.records())
        with transaction(custody.data) as connection:
            if not identities.has_earlier(connection, epoch):
                break
    return _end(custody, actor, epoch, total_references, total_records)


def _begin(custody: Custody, actor: Actor) -> int:
    """Begin the next epoch, unless a renewal is under way, and return which it is."""
    for _ in range(ATTEMPTS):
        with transaction(custody.data) as connection:
            # The ledger first: what it calls begun, the epoch read behind it has seen begin.
            under_way = last_of(connection, EVENTS) == EVENTS[0]
            epoch = identities.read_epoch(connection).epoch
            under_way = under_way or identities.has_earlier(connection, epoch)
        if under_way:
            return epoch
        custody.keyring.add_entries([custody.keyring.tags.epoch_entry(epoch + 1)])
        reached("retag:key-made")
        with transaction(custody.data) as connection:
            begun = identities.begin_epoch(connection, epoch, custody.now())
            if begun:
                record(connection, custody, actor, "identity:tags:begun", {"epoch": epoch + 1})
        if begun:
            reached("retag:begun")
            return epoch + 1
    raise ChangedMeanwhileError


def _end(
    custody: Custody, actor: Actor, epoch: int, references: int, total_records: int
) -> RetagReceipt:
    rotation = custody.keyring.destroy_entries(
        lambda name: (read_epoch_entry(name) or epoch) < epoch  # of tags, and earlier
    )
    reached("retag:key-destroyed")
    receipt = RetagReceipt(
        epoch=epoch,
        references=references,
        records=total_records,
        root=custody.keyring.keystore.generation,
    )
    facts = {**asdict(receipt), "destroyed": len(rotation.destroyed) if rotation else 0}
    with transaction(custody.data) as connection:
        # Where another renewal has begun since, its beginning is the last word.
        if identities.share_epoch(connection).epoch == epoch:
            record(connection, custody, actor, "identity:tags:renewed", facts)
    return receipt


@dataclass(slots=True)
class _Renewal:
    """One run over the tags of earlier epochs."""

    custody: Custody
    epoch: int
    epochs: Epochs
    _earlier: dict[str, Sequence[Dataset]] = field(default_factory=dict)

    def references(self, connection: Connection, after: bytes) -> tuple[bytes, int] | None:
        """Make the tags of the next references anew; see :func:`one_pass`."""
        page = identities.references_to_tag(connection, after, PAGE, self.epoch)
        if not page:
            return None
        opener, changes = Opener(self.custody, page), []
        for one in page:
            value = opener.open(one)
            require_its_own(one, value, self.epochs.before)
            made = self.epochs.now.references(*read_reference_name(one.reference))(value)
            changes.append((one.tag, made))
        identities.put_tags(connection, changes, self.epoch)
        return page[-1].tag, len(page)

    def records(self) -> Iterator[int]:
        """Make records' own tags anew, page by page; yield how many."""
        after = b""
        while True:
            with transaction(self.custody.data) as connection:
                page = identities.records_to_tag(connection, after, PAGE, self.epoch)
            if not page:
                return
            yield self._renew_records({record_id: tag for tag, record_id in page})
            reached("retag:records-tagged")
            after = page[-1][0]

    def _renew_records(self, tags: Mapping[UUID, bytes]) -> int:
        """Make these records' tags anew; of one erased meanwhile the tag is gone too."""
        with transaction(self.custody.data) as connection:
            there = open_present(
                self.custody, lambda: records.records_by_id(connection, list(tags))
            )
        changes = [(tags[one.row.id], self._record_tag(one, tags[one.row.id])) for one in there]
        with transaction(self.custody.data) as connection:
            free = identities.lock_record_tags(connection, (old for old, _ in changes))
            taken = [(old, new) for old, new in changes if old in free]
            return identities.renew_record_tags(connection, taken, self.epoch)

    def _record_tag(self, one: OpenRecord, old: bytes) -> bytes:
        """Return a record's new tag, made of the fields of which the old one was made.

        Raises:
            SealInvalidError: The old one was made of none that any policy names.
        """
        row, place = one.row, f"record {one.row.id}"
        if self.epochs.before is None:
            raise SealInvalidError(f"{place}: the key of its tag is destroyed")
        before = self.epochs.before.records(row.dataset, row.purpose, row.namespace)
        payload = {
            number: value for part in one.payloads.values() for number, value in part.items()
        }
        for dataset in self._named_so(row.dataset):
            key = _key_in(dataset, payload)
            if key is not None and hmac.compare_digest(before(*key), old):
                return self.epochs.now.records(row.dataset, row.purpose, row.namespace)(*key)
        raise SealInvalidError(f"{place}: its tag is another's")

    def _named_so(self, name: str) -> Iterator[Dataset]:
        """Yield the dataset of the present policy, then those of earlier ones, the newest first.

        A policy may have dropped the dataset since, or named other fields as the record's key.
        """
        present = self.custody.policy.datasets.get(name)
        if present is not None:
            yield present
        if name not in self._earlier:
            with transaction(self.custody.data) as connection:
                versions = installation_tables.policy_versions(connection)
            policies = [parse_policy(documents) for documents in reversed(versions.values())]
            self._earlier[name] = [one.datasets[name] for one in policies if name in one.datasets]
        yield from self._earlier[name]


def _key_in(dataset: Dataset, payload: Payload) -> tuple[str, ...] | None:
    """Return a record's key as a dataset names and types it, None where it cannot be read so."""
    numbers = {dataset.field(name).number for name in dataset.record_key}
    own = {number: value for number, value in payload.items() if number in numbers}
    try:
        return record_key_of(dataset, PayloadReader(dataset, dataset.record_key).read(own))
    except (ValueError, ArithmeticError):  # the policy has given a field another type since
        return None
