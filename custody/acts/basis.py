"""The lawful basis of rows: what the purpose rests on, and whether each row has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final
from uuid import UUID

from custody.acts.context import Custody
from custody.classification import PROTECTED_AGE, birth_of, under_age
from custody.consent import Consent, Processing, reasons_against
from custody.database.consents import ConsentsMark
from custody.policy.model import Dataset, Level, Purpose
from custody.record import Value
from custody.retention import day_in

_ONE_DAY_APART: Final = 1  # years by which days of two zones can differ at most


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedBasis:
    """By what store knows that the consents of a chunk's rows are as ingest judged them.

    Attributes:
        policy_digest: The policy they were judged by.
        mark: What tells the consents of the rows' subjects from any other state of theirs.
    """

    policy_digest: str
    mark: ConsentsMark

    def facts(self) -> dict[str, object]:
        """Return it as plain names and numbers."""
        return {
            "policy": self.policy_digest,
            "consents": self.mark.consents,
            "mark": self.mark.total,
        }


def read_basis(custody: Custody, facts: Mapping[str, Any] | None) -> JudgedBasis | None:
    """Return what :meth:`JudgedBasis.facts` wrote; None where the policy is another by now."""
    if facts is None or facts["policy"] != custody.policy.digest:
        return None
    return JudgedBasis(
        policy_digest=facts["policy"], mark=ConsentsMark(facts["consents"], facts["mark"])
    )


class Ground:
    """What the rows of one batch rest on, as judged at one instant."""

    def __init__(self, custody: Custody, dataset: Dataset, purpose: Purpose) -> None:
        """Take the installation, for its policy, zone and clock, and what the rows are."""
        self.purpose = purpose
        self._dataset = dataset
        self._zone = custody.zone
        self._notices = custody.policy.notices
        self.at = custody.now()
        self._sensitive = frozenset(
            one.name for one in dataset.fields if one.level is not Level.GENERAL
        )

    @property
    def typed_fields(self) -> frozenset[str]:
        """The fields whose values are looked at as days and instants."""
        named = (self._dataset.birth_field, self._dataset.collected_at_field)
        return frozenset(name for name in named if name is not None)

    def against(
        self,
        values: Mapping[str, Value],
        present: frozenset[str],
        consents: Sequence[Consent],
    ) -> tuple[str, ...]:
        """Return every code against the lawful basis of a row, none if it has one (art. 13).

        Where the basis is not consent no consent is asked for (art. 13, second paragraph).

        Args:
            values: The row's fields that could be read.
            present: The names of all fields the row holds, readable or not.
            consents: What the subject consented to.
        """
        if not self.purpose.needs_consent:
            return ()
        return reasons_against(consents, self._processing(values, present), self._notices)

    def _processing(self, values: Mapping[str, Value], present: frozenset[str]) -> Processing:
        """Return what is about to be done with a row, as its consents must cover it."""
        collected_at = self._collected_at(values)
        child = self._is_child(values, collected_at or self.at)
        return Processing(
            purpose=self.purpose.name,
            dataset=self._dataset.name,
            fields=present,
            sensitive=child or not self._sensitive.isdisjoint(present),
            under_14=child,
            collected_at=collected_at,
            at=self.at,
        )

    def _collected_at(self, values: Mapping[str, Value]) -> datetime | None:
        """Return when the row was collected, a bare date meaning the start of that day."""
        value = values.get(self._dataset.collected_at_field or "")
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime.combine(value, time.min, self._zone)
        return None

    def _is_child(self, values: Mapping[str, Value], at: datetime) -> bool:
        born = birth_of(self._dataset, values)
        if born is None or born.year + PROTECTED_AGE + _ONE_DAY_APART < at.year:
            return False
        return under_age(born, day_in(self._zone, at))


def consents_for(
    customer: UUID | None, consents: Mapping[UUID, Sequence[Consent]]
) -> Sequence[Consent]:
    """Return the consents of a customer, none for somebody nobody knows."""
    return () if customer is None else consents.get(customer, ())
