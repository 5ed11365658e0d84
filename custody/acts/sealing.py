"""Records to seals and back: one seal per compartment, all under the customer's data key."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypedDict
from uuid import UUID

from custody.acts.context import Custody
from custody.keys.opening import those_that_open
from custody.parts import alias_of, salt_of
from custody.policy.model import Level
from custody.randomness import Randomness
from custody.record import (
    PSEUDONYM,
    Payload,
    RecordRow,
    Value,
    decode_compartment,
    encode_compartment,
    from_payload,
    seal_contexts,
)
from custody.seal import (
    DataKey,
    Encoded,
    KeyMissingError,
    SealInvalidError,
    open_seal,
    seal,
)

_ATTEMPTS = 5


class Seals(TypedDict):
    """The seals of a record's compartments, as its row has them."""

    general: bytes
    sensitive: bytes | None
    secret: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRecord:
    """A record in clear, in memory: by compartment, with the person's pseudonym in the ledger."""

    row: RecordRow
    pseudonym: str = field(repr=False)
    payloads: Mapping[Level, Payload] = field(repr=False)

    @property
    def alias(self) -> str:
        """The name by which the ledger counts the person."""
        return alias_of(self.pseudonym)

    @property
    def salt(self) -> bytes:
        """What openings of the person's parts are made of."""
        return salt_of(self.pseudonym)

    def values(self, custody: Custody) -> dict[str, Value]:
        """Return every field by name, whichever compartment it lies in."""
        dataset = custody.policy.dataset(self.row.dataset)
        merged: dict[str, Value] = {}
        for payload in self.payloads.values():
            merged |= from_payload(dataset, payload)
        return merged


def seal_payloads(  # noqa: PLR0913 - the parts of one record's context
    custody: Custody,
    key: DataKey,
    payloads: Mapping[Level, Payload],
    *,
    record_id: UUID,
    customer_id: UUID,
    dataset: str,
    version: int,
    randomness: Randomness = os.urandom,
) -> Seals:
    """Return each compartment's seal; levels without fields have none."""
    described, suite = custody.policy.datasets.get(dataset), custody.suite
    context_of = seal_contexts(custody.installation_id, record_id, customer_id, dataset, version)
    seals = {
        level: seal(
            key, encode_compartment(described, payload), context_of(level), suite, randomness
        )
        for level, payload in payloads.items()
        if payload
    }
    return Seals(
        general=seals[Level.GENERAL],
        sensitive=seals.get(Level.SENSITIVE),
        secret=seals.get(Level.SECRET),
    )


def open_records(custody: Custody, rows: Iterable[RecordRow]) -> list[OpenRecord]:
    """Open records for the acts that seal them again; what is shown to people goes through reveal.

    Raises:
        SealInvalidError: A seal or its key was altered or is missing; the place is named.
        KeyMissingError: Of these: the key is missing, perhaps because it ended a moment ago.
    """
    rows = list(rows)
    keys = custody.keyring.open_keys({row.key_id for row in rows})
    return [_open(custody, keys, row) for row in rows]


def open_present(custody: Custody, read: Callable[[], list[RecordRow]]) -> list[OpenRecord]:
    """Read records without a lock and open them; read again when a key ended between the two.

    Raises:
        SealInvalidError: A seal or its key was altered or is missing; the place is named.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return open_records(custody, read())
        except KeyMissingError:
            continue
    return open_records(custody, read())


def _open(custody: Custody, keys: Mapping[UUID, DataKey], row: RecordRow) -> OpenRecord:
    key = keys.get(row.key_id)
    if key is None:
        raise KeyMissingError(f"record {row.id}: its key is gone")
    context_of, payloads = contexts_of(custody, row), dict[Level, Payload]()
    for level, sealed in row.compartments():
        try:
            plain = open_seal(key, sealed, context_of(level))
        except SealInvalidError:
            raise SealInvalidError(f"record {row.id}, compartment {level}") from None
        payloads[level] = decode_compartment(plain)
    pseudonym = payloads[Level.GENERAL].get(PSEUDONYM, "")
    return OpenRecord(row=row, pseudonym=str(pseudonym), payloads=payloads)


def salts_of(custody: Custody, rows: Iterable[RecordRow]) -> dict[UUID, bytes]:
    """Return what openings of parts are made of, of each record that opens, by its id."""
    rows = list(rows)
    keys = those_that_open(custody.keyring.open_keys, {row.key_id for row in rows})
    found = {}
    for row in rows:
        with suppress(SealInvalidError):
            found[row.id] = _open(custody, keys, row).salt
    return found


def contexts_of(custody: Custody, row: RecordRow) -> Callable[[str], Encoded]:
    """Return what says, of a compartment of a record that is there, what its seal is bound to."""
    return seal_contexts(custody.installation_id, row.id, row.customer_id, row.dataset, row.version)
