"""Subject references, sealed beside their identity tags, so that these can be made anew.

A tag cannot be turned into one under another key without the reference it is of. So the reference
lies beside it, sealed under a data key of the customer's for the expiry period ``identity``, which
never ends by itself: it ends, and turns, when the customer's identity is erased.

What is sealed is the length of the reference in four bytes, the reference in UTF-8, and zeros up to
a multiple of 32 bytes. It is bound to: installation, that it is one, customer, its name, and the
key.
"""

from typing import Final
from uuid import UUID

from custody.randomness import Randomness
from custody.seal import DataKey, encode_part, open_at, seal
from custody.suites import Suite

IDENTITY: Final = "identity"
_BLOCK: Final = 32
_LENGTH_BYTES: Final = 4


def reference_name(name: str, namespace: str) -> str:
    """Return what a subject reference is called, with the namespace it is unique in before it."""
    return f"{namespace}:{name}" if namespace else name


def read_reference_name(called: str) -> tuple[str, str]:
    """Return name and namespace of what :func:`reference_name` called so."""
    namespace, _, name = called.rpartition(":")
    return name, namespace


def seal_reference(  # noqa: PLR0913 - what a seal takes
    key: DataKey,
    installation: UUID,
    customer: UUID,
    called: str,
    value: str,
    suite: Suite,
    randomness: Randomness,
) -> bytes:
    """Return a customer's reference as it lies beside its tag."""
    plain = encode_part(value.encode())
    padded = plain + bytes(-len(plain) % _BLOCK)
    return seal(key, padded, _context(installation, customer, called), suite, randomness)


def open_reference(
    key: DataKey, installation: UUID, customer: UUID, called: str, sealed: bytes
) -> str:
    """Return the reference.

    Raises:
        SealInvalidError: It does not open; the error names whose it is.
    """
    context = _context(installation, customer, called)
    padded = open_at(place_of(customer, called), key, sealed, context)
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    return padded[_LENGTH_BYTES : _LENGTH_BYTES + length].decode()


def place_of(customer: UUID, called: str) -> str:
    """Return how an error names a reference."""
    return f"reference {called} of customer {customer}"


def _context(installation: UUID, customer: UUID, called: str) -> tuple[bytes, ...]:
    return (installation.bytes, b"reference", customer.bytes, called.encode())
