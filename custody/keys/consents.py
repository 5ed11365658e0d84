"""Keys of consent evidence: one per customer, apart from the data's, for evidence outlives them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from custody.database import otherkeys
from custody.database.engine import transaction
from custody.database.otherkeys import ConsentKey
from custody.keys.keystore import Keystore
from custody.keys.pages import over_pages
from custody.keys.wrapping import CONSENT, consent_context
from custody.seal import Context, DataKey, SealInvalidError, WrappingKey, new_key
from custody.steps import reached
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
            found = otherkeys.consent_keys(connection, wanted)
            missing = wanted - found.keys()
            if missing:
                otherkeys.add_consent_keys(connection, [self._fresh(one) for one in missing])
                found |= otherkeys.consent_keys(connection, missing)
        return {customer: self._open(key) for customer, key in found.items()}

    def open(self, customers: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return the consent keys of the customers who have one."""
        with transaction(self.engine) as connection:
            found = otherkeys.consent_keys(connection, customers)
        return {customer: self._open(key) for customer, key in found.items()}

    def known(self, customers: Iterable[UUID]) -> set[UUID]:
        """Return which of the customers have a consent key."""
        with transaction(self.engine) as connection:
            return set(otherkeys.consent_keys(connection, customers))

    def check(self) -> int:
        """Open every consent key and return how many there are.

        Raises:
            SealInvalidError: One does not open; the place names it.
        """
        return over_pages(
            self.engine,
            otherkeys.consent_keys_after,
            lambda _, keys: [self._open(key) for key in keys],
        )

    def wrap_anew(self) -> int:
        """Wrap again what is not wrapped under the suite, and return how many keys.

        Each is opened again and compared before it takes the place of the old one.

        Raises:
            SealInvalidError: One does not open; the place names it, its page stays as it is.
        """

        def again(connection: Connection, keys: Sequence[ConsentKey]) -> None:
            otherkeys.put_consent_keys(connection, [(key.key_id, self._again(key)) for key in keys])
            reached("turn:consent-keys-wrapped")

        return over_pages(
            self.engine,
            lambda connection, *behind: otherkeys.consent_keys_to_wrap(
                connection, self.suite, *behind
            ),
            again,
        )

    def _fresh(self, customer_id: UUID) -> ConsentKey:
        key = new_key(uuid4())
        kek = self.keystore.wrapping_key(CONSENT)
        context = self._context(customer_id, key.key_id)
        return ConsentKey(key.key_id, customer_id, kek.wrap(key.secret, context, self.suite))

    def _open(self, key: ConsentKey) -> DataKey:
        secret = self._with_kek(key, lambda kek, context: kek.unwrap(key.wrapped, context))
        return DataKey(key.key_id, secret)

    def _again(self, key: ConsentKey) -> bytes:
        return self._with_kek(
            key, lambda kek, context: kek.wrap_again(key.wrapped, context, self.suite)
        )

    def _with_kek(self, key: ConsentKey, act: Callable[[WrappingKey, Context], bytes]) -> bytes:
        """Return what ``act`` makes of what wraps a key, and of what the key is bound to.

        Raises:
            SealInvalidError: The key does not open; it is named.
        """
        context = self._context(key.customer_id, key.key_id)
        try:
            return act(self.keystore.wrapping_key(CONSENT), context)
        except SealInvalidError:
            raise SealInvalidError(f"wrapped consent key {key.key_id}") from None

    def _context(self, customer_id: UUID, key_id: UUID) -> Context:
        return consent_context(self.installation, customer_id, key_id)
