"""What a chunk's store is going to write, and what that relies on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec

from custody.counts import count_codes
from custody.database.consents import ConsentsMark
from custody.database.records import RecordKey
from custody.identity import Directory
from custody.intake import IntakeRow
from custody.policy.model import Level
from custody.record import Payload


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it will be written."""

    row: IntakeRow
    record_tag: bytes
    customer_id: UUID
    record_id: UUID
    version: int
    period: str
    ends_on: date | None
    replaces: RecordKey | None
    payloads: Mapping[Level, Payload]
    level_raised: bool
    overdue: bool

    def __repr__(self) -> str:
        """Show the record and nothing of what it holds."""
        return f"Planned({self.record_id})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What becomes of every row of a chunk, and what that relies on."""

    planned: tuple[Planned, ...]
    refused: tuple[tuple[IntakeRow, tuple[str, ...]], ...]
    unchanged: int
    directory: Directory
    new_customers: frozenset[UUID]
    generations: Mapping[UUID, int]
    newly_named: frozenset[UUID]
    consents_mark: ConsentsMark | None
    looked_at: frozenset[UUID]

    def keys_wanted(self) -> dict[tuple[UUID, str], int]:
        """Return the customer's generation for each (customer, period) that needs a key."""
        generation_of = self.generations.get
        wanted = {
            (one.customer_id, one.period): generation_of(one.customer_id, 1) for one in self.planned
        }
        return wanted | self.directory.keys_wanted(self.generations)

    def warnings(self) -> dict[str, int]:
        """Return how many rows were raised in level, and how many arrive overdue."""
        raised = (["level_raised"] for one in self.planned if one.level_raised)
        overdue = (["retention_already_over"] for one in self.planned if one.overdue)
        return count_codes([*raised, *overdue])
