"""Subject references, sealed beside their identity tags, so that these can be made anew.

A tag cannot be turned into one under another key without the reference it is of. So the reference
lies beside it, wrapped like a data key (:mod:`custody.seal`) under a key-encryption key of all
references, whose **generation** advances with every turn: what an erasure deleted becomes noise
together with the data keys it deleted (:mod:`custody.acts.turning`).

What is wrapped is the length of the reference in four bytes, the reference in UTF-8, and zeros up
to a multiple of 32 bytes. It is bound to: that it is one, installation, customer, the reference's
name and generation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from custody.database.identities import SealedReference
from custody.keys.document import EntryMissingError
from custody.keys.keystore import Keystore
from custody.randomness import Randomness
from custody.seal import (
    Encoded,
    KeyMissingError,
    SealInvalidError,
    WrappingKey,
    encode_context,
    encode_part,
)
from custody.suites import Suite

FIRST_GENERATION: Final = 1
_BLOCK: Final = 32
_LENGTH_BYTES: Final = 4
_KIND: Final = "reference"


def reference_entry(generation: int) -> str:
    """Return the keystore's name of the key-encryption key of a generation."""
    return f"{_KIND}/{generation}"


def read_reference_entry(name: str) -> int | None:
    """Return the generation behind such a name, None where it is another's."""
    kind, _, generation = name.partition("/")
    return int(generation) if kind == _KIND else None


@dataclass(frozen=True, slots=True)
class References:
    """Seals and opens the subject references of one installation."""

    installation: bytes
    keystore: Keystore

    def of(self, generation: int) -> "ReferenceKek":
        """Return the key-encryption key of a generation.

        Raises:
            EntryMissingError: It is destroyed, or the keystore is older than the database.
        """
        kek = self.keystore.wrapping_key(reference_entry(generation))
        return ReferenceKek(kek, self.installation, generation)

    def opener(self) -> Callable[[SealedReference], str]:
        """Return what opens references, and asks for each generation's key once.

        It raises SealInvalidError where one does not open, and names whose it is; of these
        KeyMissingError where the key that sealed it is destroyed.
        """
        known: dict[int, ReferenceKek] = {}

        def opened(one: SealedReference) -> str:
            kek = known.get(one.generation)
            if kek is None:
                try:
                    kek = known[one.generation] = self.of(one.generation)
                except EntryMissingError:
                    place = f"reference {one.reference} of customer {one.customer_id}"
                    why = "the key that sealed it is destroyed"
                    raise KeyMissingError(f"{place}: {why}") from None
            return kek.open(one.customer_id, one.reference, one.sealed)

        return opened


class ReferenceKek:
    """The key-encryption key of one generation, with what every reference under it is bound to."""

    def __init__(self, kek: WrappingKey, installation: bytes, generation: int) -> None:
        """Take the key, and which generation it is."""
        self.generation = generation
        self._kek = kek
        self._bound_first = encode_context((_KIND.encode(), installation))
        self._bound_last = encode_part(generation.to_bytes(4, "big"))

    def seal(
        self, customer: UUID, name: str, value: str, suite: Suite, randomness: Randomness
    ) -> bytes:
        """Return a customer's reference as it lies beside its tag."""
        plain = encode_part(value.encode())
        padded = plain + bytes(-len(plain) % _BLOCK)
        return self._kek.wrap(padded, self._context(customer, name), suite, randomness)

    def open(self, customer: UUID, name: str, sealed: bytes) -> str:
        """Return the reference.

        Raises:
            SealInvalidError: It does not open; the error names whose it is.
        """
        try:
            padded = self._kek.unwrap(sealed, self._context(customer, name))
        except SealInvalidError:
            raise SealInvalidError(f"reference {name} of customer {customer}") from None
        length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
        return padded[_LENGTH_BYTES : _LENGTH_BYTES + length].decode()

    def _context(self, customer: UUID, name: str) -> Encoded:
        return Encoded(
            b"".join(
                (
                    self._bound_first,
                    encode_part(customer.bytes),
                    encode_part(name.encode()),
                    self._bound_last,
                )
            )
        )
