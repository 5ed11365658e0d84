"""The lawful basis of rows: what the purpose rests on, and whether each row has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from uuid import UUID

from custody.acts.context import Custody
from custody.classification import is_protected
from custody.consent import Consent, Processing, reasons_against
from custody.policy.model import Dataset, Level, Purpose
from custody.record import Value
from custody.retention import day_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What the rows of one batch rest on."""

    dataset: Dataset
    purpose: Purpose


def against_basis(
    custody: Custody,
    ground: Ground,
    values: Mapping[str, Value],
    present: frozenset[str],
    consents: Sequence[Consent],
) -> tuple[str, ...]:
    """Return every code against the lawful basis of a row now, none if it has one (art. 13).

    Where the basis is not consent no consent is asked for (art. 13, second paragraph).

    Args:
        custody: The installation, for its policy, zone and clock.
        ground: The dataset and the purpose.
        values: The row's fields that could be read.
        present: The names of all fields the row holds, readable or not.
        consents: What the subject consented to.
    """
    if not ground.purpose.needs_consent:
        return ()
    processing = processing_of(custody, ground, values, present)
    return reasons_against(consents, processing, custody.policy.notices)


def processing_of(
    custody: Custody, ground: Ground, values: Mapping[str, Value], present: frozenset[str]
) -> Processing:
    """Return what is about to be done with a row now, as its consents must cover it."""
    at = custody.now()
    collected_at = collected_at_of(custody, ground.dataset, values)
    day = day_in(custody.zone, collected_at or at)
    child = is_protected(ground.dataset, values, on=day)
    return Processing(
        purpose=ground.purpose.name,
        dataset=ground.dataset.name,
        fields=present,
        sensitive=child or _has_sensitive(ground.dataset, present),
        under_14=child,
        collected_at=collected_at,
        at=at,
    )


def collected_at_of(
    custody: Custody, dataset: Dataset, values: Mapping[str, Value]
) -> datetime | None:
    """Return when the row was collected, a bare date meaning the start of that day."""
    value = values.get(dataset.collected_at_field or "")
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min, custody.zone)
    return None


def consents_for(
    customer: UUID | None, consents: Mapping[UUID, Sequence[Consent]]
) -> Sequence[Consent]:
    """Return the consents of a customer, none for somebody nobody knows."""
    return () if customer is None else consents.get(customer, ())


def _has_sensitive(dataset: Dataset, fields: frozenset[str]) -> bool:
    return any(dataset.field(name).level is not Level.GENERAL for name in fields)
