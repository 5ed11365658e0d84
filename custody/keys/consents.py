"""Keys of consent evidence: one per customer, apart from the data's, for evidence outlives them."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Engine

from custody.database import keytables
from custody.database.engine import transaction
from custody.keys.keystore import Keystore
from custody.keys.wrapping import CONSENT, consent_context
from custody.seal import DataKey, SealInvalidError, new_key
from custody.suites import Suite


@dataclass(frozen=True, slots=True)
class ConsentKeys:
    """Hands out and opens the keys of customers' consents (PIPL art. 69)."""

    installation: bytes
    engine: Engine
    keystore: Keystore
    suite: Suite

    def keys(self, customers: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return each customer's consent key, making those that are missing."""
        wanted = set(customers)
        with transaction(self.engine) as connection:
            found = keytables.consent_keys(connection, wanted)
            missing = wanted - found.keys()
            if missing:
                keytables.add_consent_keys(connection, [self._fresh(one) for one in missing])
                found |= keytables.consent_keys(connection, missing)
        return {customer: self._open(customer, *key) for customer, key in found.items()}

    def open(self, customers: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the consent keys of the customers who have one."""
        with transaction(self.engine) as connection:
            found = keytables.consent_keys(connection, customers)
        return {customer: self._open(customer, *key) for customer, key in found.items()}

    def known(self, customers: Iterable[UUID]) -> set[UUID]:
        """Return which of the customers have a consent key."""
        with transaction(self.engine) as connection:
            return set(keytables.consent_keys(connection, customers))

    def check(self) -> int:
        """Open every consent key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        with transaction(self.engine) as connection:
            found = keytables.every_consent_key(connection)
        for customer_id, key_id, wrapped in found:
            self._open(customer_id, key_id, wrapped)
        return len(found)

    def _fresh(self, customer_id: UUID) -> tuple[UUID, UUID, bytes]:
        key = new_key(uuid4())
        context = consent_context(self.installation, customer_id, key.key_id)
        kek = self.keystore.wrapping_key(CONSENT)
        return key.key_id, customer_id, kek.wrap(key.secret, context, self.suite)

    def _open(self, customer_id: UUID, key_id: UUID, wrapped: bytes) -> DataKey:
        context = consent_context(self.installation, customer_id, key_id)
        try:
            return DataKey(key_id, self.keystore.wrapping_key(CONSENT).unwrap(wrapped, context))
        except SealInvalidError:
            raise SealInvalidError(f"wrapped consent key {key_id}") from None
