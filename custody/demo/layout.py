"""Who in the legacy system plays which part: decided once from the seed, before a line is written.

Every person has at most one part, so that no defect planted for one row can spoil another: a
person whose consent to the service is defective has no other record, and whoever carries a
defective enquiry has no second one.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, cycle, islice
from math import ceil
from typing import Final

from custody.demo.people import Person, World, make_person
from custody.demo.table import Table
from custody.errors import UsageError

FEWEST_CUSTOMERS: Final = 20

_SPECIAL_SHARE = 0.6
_DEFECT_SHARE = 0.4
_UNPAIRED_AGAIN = 5
_ROWS_PER_CUSTOMER = {"legacy_transactions": 2.0, "legacy_enquiries": 0.25, "legacy_profiles": 0.4}


class Part(StrEnum):
    """What is special about a person."""

    PLAIN = "plain"
    CUSTOMER = "customer"
    TRANSACTION = "transaction"
    ENQUIRY = "enquiry"
    PROFILE = "profile"
    REPEATED = "repeated"
    BRANCH_TOO = "branch_too"
    RENEWED = "renewed"
    UNTIDY = "untidy"


_CLEAN_SHARES = {
    Part.REPEATED: 0.005,
    Part.BRANCH_TOO: 0.02,
    Part.RENEWED: 0.02,
    Part.UNTIDY: 0.02,
}
_DEFECT_PARTS = {
    "legacy_customers": Part.CUSTOMER,
    "legacy_transactions": Part.TRANSACTION,
    "legacy_enquiries": Part.ENQUIRY,
    "legacy_profiles": Part.PROFILE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """A person's part, and the kinds of defect it brings."""

    part: Part
    kinds: tuple[str, ...] = ()


PLAIN: Final = Cast(part=Part.PLAIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The parts of all people.

    Attributes:
        customers: How many people there are.
        branch_from: The first person only the branch knows.
        casts: The special people, by number.
    """

    customers: int
    branch_from: int
    casts: Mapping[int, Cast]

    def cast(self, index: int) -> Cast:
        """Return the part of person ``index``."""
        return self.casts.get(index, PLAIN)

    def in_branch_only(self, index: int) -> bool:
        """Return whether person ``index`` is in the branch's workbook alone."""
        return index >= self.branch_from

    def person(self, world: World, table: Table, index: int) -> Person:
        """Return person ``index`` as the part demands: a child only where a defect needs one."""
        cast = self.cast(index)
        if cast == PLAIN:
            return make_person(world, index)
        return make_person(
            world,
            index,
            minor=table.wants_minor(cast.kinds),
            check_x="resident_id_confusable" in cast.kinds,
        )


def lay_out(world: World, table: Table, customers: int) -> Layout:
    """Decide who plays which part among ``customers`` people.

    Raises:
        UsageError: There are too few people.
    """
    if customers < FEWEST_CUSTOMERS:
        raise UsageError("the demo needs at least so many customers", str(FEWEST_CUSTOMERS))
    chance = world.draw("layout")
    alone = max(customers // 50, min(16, customers // 5))
    branch_from = customers - alone
    casts = list(_main_casts(table, chance, customers, branch_from))
    chosen = chance.sample(range(branch_from), len(casts))
    branch = list(_branch_casts(table, chance, alone + customers // 50, alone))
    return Layout(
        customers=customers,
        branch_from=branch_from,
        casts=dict(
            chain(
                zip(chosen, casts, strict=True),
                zip(range(branch_from, customers), branch, strict=False),
            )
        ),
    )


def _main_casts(table: Table, chance: random.Random, customers: int, people: int) -> Iterator[Cast]:
    rows = {"legacy_customers": people} | {
        source: int(share * customers) for source, share in _ROWS_PER_CUSTOMER.items()
    }
    slots = {source: _slots(table, source, rows[source]) for source in _DEFECT_PARTS}
    fit = min(1.0, _SPECIAL_SHARE * people / sum(slots.values()))
    for source, part in _DEFECT_PARTS.items():
        for kinds in _kinds(table, chance, source, int(slots[source] * fit)):
            yield Cast(part=part, kinds=kinds)
    for part, share in _CLEAN_SHARES.items():
        yield from [Cast(part=part)] * ceil(share * people)


def _branch_casts(table: Table, chance: random.Random, rows: int, people: int) -> Iterator[Cast]:
    slots = min(_slots(table, "branch_customers", rows), people)
    for kinds in _kinds(table, chance, "branch_customers", slots):
        yield Cast(part=Part.CUSTOMER, kinds=kinds)


def _slots(table: Table, source: str, rows: int) -> int:
    wanted = max(ceil(table.sources[source].share * rows), len(table.singles(source)) * 3 // 2)
    return min(wanted, ceil(_DEFECT_SHARE * rows))


def _kinds(
    table: Table, chance: random.Random, source: str, slots: int
) -> Iterator[tuple[str, ...]]:
    """Yield every kind alone, then pairs and single kinds in turns until the slots are full."""
    singles = table.singles(source)
    unpaired = [kinds for kinds in singles if table.kinds[kinds[0]].alone]
    mixed: Sequence[tuple[str, ...]] = [
        *table.pairs(source),
        *singles,
        *unpaired * _UNPAIRED_AGAIN,
    ]
    shuffled = chance.sample(mixed, len(mixed))
    return islice(chain(singles, cycle(shuffled)), slots)
