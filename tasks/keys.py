"""The steps of keeping keys and seals, as Prefect performs them."""

from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Final
from uuid import UUID

from custody.acts import coverage as covering
from custody.acts import period_end, retagging, turning
from custody.acts import rekey as rekeying
from custody.acts.references import rekey_references
from custody.acts.rekey_places import rekey_places
from custody.identifiers import CUSTOMER, read_id, show_id
from custody.suites import suite_named
from tasks.artifacts import publish
from tasks.border import step
from tasks.context import actor, custody

_CHUNKS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysReceipt:
    """What a turn or the end of a period came to.

    Attributes:
        buckets: How many buckets turned, or are closed.
        keys: How many data keys were wrapped anew, or deleted.
        other_keys: How many keys of batches and consents were wrapped anew, under another suite.
        destroyed: How many key-encryption keys were destroyed.
    """

    buckets: int = 0
    keys: int = 0
    other_keys: int = 0
    destroyed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TagsReceipt:
    """What making identity tags anew came to.

    Attributes:
        epoch: The epoch of all tags now.
        references: How many identity tags were made anew.
        records: How many records' own tags were made anew.
    """

    epoch: int
    references: int
    records: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RekeySpan:
    """What some chunks of customers came to.

    Attributes:
        last: The last customer, behind whom the next span begins; empty where nobody is left.
        records: Records of which a compartment was sealed again.
        seals: Compartments sealed again.
    """

    last: str
    records: int
    seals: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SealStanding:
    """How everything is sealed, in counts."""

    suite: str
    seals: int
    amiss: int


@step
def turn_keys(everything: bool = False) -> KeysReceipt:  # noqa: FBT001, FBT002 - a flow's parameter
    """Turn the buckets in which keys were deleted, or all, so that no backup opens those keys."""
    done = turning.turn_keys(custody(), actor(), everything=everything)
    receipt = KeysReceipt()
    if done is not None:
        receipt = KeysReceipt(
            buckets=done.buckets,
            keys=done.keys,
            other_keys=done.others,
            destroyed=done.destroyed,
        )
    publish("turn", "all" if everything else "deleted", asdict(receipt), {})
    return receipt


@step
def renew_tags(only_if_due: bool = False) -> TagsReceipt | None:  # noqa: FBT001, FBT002 - a flow's parameter
    """Make every identity tag anew under the next key; None where the year is not over yet."""
    if only_if_due and not retagging.tag_standing(custody()).due:
        return None
    done = retagging.renew_tags(custody(), actor())
    receipt = TagsReceipt(epoch=done.epoch, references=done.references, records=done.records)
    publish("retag", str(done.epoch), asdict(receipt), {})
    return receipt


@step
def end_period(period: str) -> KeysReceipt:
    """End an expiry period that is over: move on what is held, destroy its keys."""
    done = period_end.close_period(custody(), actor(), period)
    receipt = KeysReceipt(buckets=done.buckets, keys=done.keys, destroyed=done.destroyed)
    publish("close-period", period, asdict(receipt), {})
    return receipt


@step
def require_suite(name: str) -> str:
    """Return the suite that the policy seals under, which must be the one named, if one is."""
    suite = suite_named(name) if name else custody().suite
    rekeying.require_wanted(custody(), suite)
    return suite.name


@step
def rekey_span(after: str, pause_ms: int) -> RekeySpan:
    """Seal again what the next customers have that is not under the policy's suite."""
    first = read_id(CUSTOMER, after) if after else UUID(int=0)
    steps = rekeying.rekey_records(custody(), actor(), first, pause_seconds=pause_ms / 1000)
    done = list(islice(steps, _CHUNKS))
    whole = rekeying.total(done)
    last = show_id(CUSTOMER, whole.last) if len(done) == _CHUNKS else ""
    return RekeySpan(last=last, records=whole.records, seals=whole.seals)


@step
def rekey_others() -> int:
    """Seal again what is no record's, and return how many seals there were."""
    pages = chain(rekey_places(custody(), actor()), rekey_references(custody(), actor()))
    return sum(page.seals for page in pages)


@step
def count_seals(records: int, seals: int) -> SealStanding:
    """Count how everything is sealed now, and leave the counts in the UI."""
    found = covering.coverage(custody())
    amiss = found.seals - found.wanted
    counts = {"records": records, "renewed": seals, "seals": found.seals, "amiss": amiss}
    note = "custody coverage names what is amiss. · 不符项见 custody coverage。" if amiss else ""
    publish("rekey", found.suite, counts, {}, note=note)
    return SealStanding(suite=found.suite, seals=found.seals, amiss=amiss)
