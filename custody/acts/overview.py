"""What an installation holds, in counts: for reports, the status and the demo."""

from collections.abc import Mapping
from dataclasses import dataclass

from custody.acts.context import Custody
from custody.database import customers, records
from custody.database.batches import Batch, list_batches
from custody.database.engine import transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Counts of what is held.

    Attributes:
        customers: Active customers.
        datasets: Records by dataset.
        levels: Compartments by level.
        level_raised: Records in which a value showed more than its field declares.
    """

    customers: int
    datasets: Mapping[str, int]
    levels: Mapping[str, int]
    level_raised: int

    @property
    def records(self) -> int:
        """All records."""
        return sum(self.datasets.values())


def overview(custody: Custody) -> Overview:
    """Count what the installation holds."""
    with transaction(custody.data) as connection:
        counts = records.count_records(connection)
        everybody = customers.count_customers(connection)
    return Overview(
        customers=everybody,
        datasets={count.dataset: count.records for count in counts},
        levels={
            "general": sum(count.records for count in counts),
            "sensitive": sum(count.sensitive for count in counts),
            "secret": sum(count.secret for count in counts),
        },
        level_raised=sum(count.raised for count in counts),
    )


def batches_of(custody: Custody) -> list[Batch]:
    """Return every batch, oldest first."""
    with transaction(custody.data) as connection:
        return list_batches(connection)
