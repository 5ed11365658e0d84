"""Identity tags made anew under the key of the next epoch, as is done once a year.

Whoever has had the key of an epoch, and a copy of the database from then, can try people's numbers
against the tags; against the tags of another epoch neither helps. Steps:

1. A key of the next epoch is made. 2. The epoch begins: from then on whoever writes tags writes
those of the new one, and looks for both; whoever was writing is waited for. 3. Page by page the
reference beside each tag is opened, and the tag made anew. 4. So is each record's own tag, from the
key fields in the record. 5. When no tag of an earlier epoch is left, the keystore is rotated
without its key.

Killed anywhere, everybody is found; what is left to do is read from the keystore and the tags.
"""

import hmac
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.recording import record
from custody.acts.sealing import OpenRecord, open_present
from custody.acts.subjects import (
    ChangedMeanwhileError,
    read_reference_name,
    record_key_of,
)
from custody.database import identities, records
from custody.database import installation as installation_tables
from custody.database.engine import transaction
from custody.database.identities import SealedReference
from custody.database.ledger import last_of
from custody.keys.keystore import read_epoch_entry
from custody.keys.tags import Epochs, IdentityTags
from custody.policy.model import Dataset
from custody.policy.parse import parse_policy
from custody.record import Payload, PayloadReader
from custody.seal import SealInvalidError
from custody.steps import reached

EVENTS: Final = ("identity:tags:begun", "identity:tags:renewed")
YEAR: Final = timedelta(days=365)
PAGE: Final = 2000
_PASSES: Final = 20
_PAUSE_SECONDS: Final = 0.1


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
    custody.keyring.keystore.reload()
    with transaction(custody.data) as connection:
        state = identities.read_state(connection)
        waiting = identities.count_to_tag(connection, state.epoch)
        cut_off = last_of(connection, EVENTS) == EVENTS[0]
    return TagStanding(
        epoch=state.epoch,
        since=state.began_at.astimezone(custody.zone).isoformat(timespec="seconds"),
        waiting=waiting,
        due=cut_off or custody.now() - state.began_at >= YEAR,
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
    references = total_records = 0
    for attempt in range(_PASSES):
        time.sleep(attempt * _PAUSE_SECONDS)
        references += sum(renewal.references())
        total_records += sum(renewal.records())
        with transaction(custody.data) as connection:
            if not identities.count_to_tag(connection, epoch):
                break
    else:
        raise ChangedMeanwhileError
    return _end(custody, actor, epoch, references, total_records)


def check_references(custody: Custody) -> int:
    """Open every reference, hold it against its tag, and return how many there are.

    Raises:
        SealInvalidError: One does not open, or its tag is another's; whose it is is named.
    """
    count, after, opened = 0, b"", custody.keyring.references.opener()
    while True:
        with transaction(custody.data) as connection:
            epoch = identities.read_state(connection).epoch
            page = identities.references_after(connection, after, PAGE)
        if not page:
            return count
        epochs = custody.keyring.tags.epochs(epoch)
        known = {one.epoch: one for one in (epochs.now, epochs.before) if one is not None}
        for reference in page:
            _require_its_own(reference, opened(reference), known.get(reference.epoch))
        count, after = count + len(page), page[-1].tag


def _require_its_own(one: SealedReference, value: str, tags: IdentityTags | None) -> None:
    """Require that a tag is that of the reference beside it."""
    place = f"reference {one.reference} of customer {one.customer_id}"
    if tags is None:
        raise SealInvalidError(f"{place}: the key of its tag is destroyed")
    made = tags.references(*read_reference_name(one.reference))(value)
    if not hmac.compare_digest(made, one.tag):
        raise SealInvalidError(f"{place}: its tag is another's")


def _begin(custody: Custody, actor: Actor) -> int:
    """Begin the next epoch, unless one is under way, and return which it is."""
    with transaction(custody.data) as connection:
        ending = identities.read_state(connection).epoch
        if last_of(connection, EVENTS) == EVENTS[0]:
            return ending
    custody.keyring.add_entries([custody.keyring.tags.epoch_entry(ending + 1)])
    reached("retag:key-made")
    with transaction(custody.data) as connection:
        if identities.begin_epoch(connection, ending, custody.now()):
            facts = {"epoch": ending + 1}
            record(connection, custody, actor, "identity:tags:begun", facts)
    reached("retag:begun")
    return ending + 1


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
    destroyed = len(rotation.destroyed) if rotation else 0
    with transaction(custody.data) as connection:
        facts = {**asdict(receipt), "destroyed": destroyed}
        record(connection, custody, actor, "identity:tags:renewed", facts)
    return receipt


@dataclass(slots=True)
class _Renewal:
    """One run over the tags of earlier epochs."""

    custody: Custody
    epoch: int
    epochs: Epochs
    _datasets: dict[str, list[Dataset]] = field(default_factory=dict)

    def references(self) -> Iterator[int]:
        """Make the tags of references anew, page by page; yield how many."""
        after, opened = b"", self.custody.keyring.references.opener()
        while True:
            with transaction(self.custody.data) as connection:
                page = identities.references_to_tag(connection, after, PAGE, self.epoch)
                if not page:
                    return
                changes = [(one.tag, self._reference_tag(one, opened)) for one in page]
                identities.put_tags(connection, changes, self.epoch)
            reached("retag:references-tagged")
            yield len(page)
            after = page[-1].tag

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

    def _reference_tag(
        self, one: SealedReference, opened: Callable[[SealedReference], str]
    ) -> bytes:
        value = opened(one)
        _require_its_own(one, value, self.epochs.before)
        return self.epochs.now.references(*read_reference_name(one.reference))(value)

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
        yield from self._earlier(name)

    def _earlier(self, name: str) -> Sequence[Dataset]:
        known = self._datasets.get(name)
        if known is None:
            with transaction(self.custody.data) as connection:
                versions = installation_tables.policy_versions(connection)
            policies = [parse_policy(documents) for documents in reversed(versions.values())]
            known = [one.datasets[name] for one in policies if name in one.datasets]
            self._datasets[name] = known
        return known


def _key_in(dataset: Dataset, payload: Payload) -> tuple[str, ...] | None:
    numbers = {dataset.field(name).number for name in dataset.record_key}
    own = {number: value for number, value in payload.items() if number in numbers}
    return record_key_of(dataset, PayloadReader(dataset, dataset.record_key).read(own))
