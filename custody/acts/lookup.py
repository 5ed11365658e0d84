"""Looking a customer up by reference, and saying how much is held: counts, never values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.opening import dataset_of
from custody.acts.recording import record
from custody.acts.redoing import again_if_changed
from custody.acts.subjects import find_subject
from custody.database import consents as consent_tables
from custody.database import customers, records
from custody.database.engine import transaction
from custody.database.holds import holds_on
from custody.errors import UsageError
from custody.identifiers import CUSTOMER, show_id
from custody.identity import IdentityConflictError
from custody.normalise import normalise_rows
from custody.policy.model import CONSENTS
from custody.rows import RawRow


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerSummary:
    """How much is held of a customer.

    Attributes:
        consents: How many consents there are, of which ``in_force`` count now.
        records: Records by dataset.
        holds: The holds in force.
        events: The day of each event that started a retention clock.
    """

    customer_id: UUID
    state: str
    consents: int
    in_force: int
    records: Mapping[str, int]
    holds: tuple[UUID, ...]
    events: Mapping[str, date]


def find_customer(
    custody: Custody, actor: Actor, namespace: str, references: Mapping[str, str]
) -> UUID | None:
    """Return whose references these are, None for nobody's; the ledger notes the lookup.

    Args:
        custody: The installation.
        actor: Who looks.
        namespace: Within which customer numbers are unique.
        references: Values by the name of a reference of the catalogue.

    Raises:
        UsageError: There is no such reference, a value has not its form, or they contradict
            each other.
    """
    dataset = dataset_of(custody, CONSENTS)
    unknown = references.keys() - {one.name for one in dataset.references}
    if unknown:
        raise UsageError("no dataset has the reference", ", ".join(sorted(unknown)))
    row = normalise_rows(dataset, [RawRow(number=1, values=references)], custody.zone)[0]
    if row.problems:
        raise UsageError("not the form of the reference", ", ".join(sorted(row.problems)))
    values = {name: value for name, value in row.values.items() if value is not None}

    def found() -> UUID | None:
        with transaction(custody.data) as connection:
            try:
                customer = find_subject(custody, connection, dataset, namespace, values)
            except IdentityConflictError:
                raise UsageError("the references belong to different customers") from None
            facts = {"by": sorted(references), "found": int(customer is not None)}
            record(connection, custody, actor, "customer:reference:searched", facts)
        return customer

    return again_if_changed(found)


def summarise_customer(custody: Custody, customer_id: UUID) -> CustomerSummary:
    """Return how much is held of a customer.

    Raises:
        UsageError: There is no such customer.
    """
    with transaction(custody.data) as connection:
        known = customers.read_customers(connection, [customer_id]).get(customer_id)
        if known is None:
            raise UsageError("no such customer", show_id(CUSTOMER, customer_id))
        given = consent_tables.consents_of(connection, [customer_id]).get(customer_id, [])
        events = customers.retention_events(connection, [customer_id])
        counts = {
            dataset: len(records.select_records(connection, dataset, None, [customer_id]))
            for dataset in custody.policy.datasets
        }
        holds = holds_on(connection, [customer_id])
    return CustomerSummary(
        customer_id=customer_id,
        state=known[1],
        consents=len(given),
        in_force=sum(consent.in_force(custody.now()) for consent in given),
        records={dataset: count for dataset, count in counts.items() if count},
        holds=tuple(hold.id for hold in holds),
        events={event: day for (_, event), day in events.items()},
    )
