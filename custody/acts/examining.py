"""The checks of ingest on one chunk, before anything is written.

1. Values are normalised. 2. Rows that repeat what is stored, or an earlier row of the chunk, are
set aside as unchanged. 3. Great Expectations judges the rest. 4. Every row's lawful basis is
judged, whatever its quality. 5. What the purpose does not need is counted and goes no further.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import Connection

from custody.acts.basis import Ground, JudgedBasis, consents_for
from custody.acts.context import Custody
from custody.acts.redoing import again_if_changed
from custody.acts.subjects import (
    RecordTags,
    epochs_of,
    is_suppressed,
    kinds_of,
    read_directory,
    read_suppressed,
    record_key_of,
    record_tags,
    references_of,
)
from custody.counts import count_codes
from custody.database.batches import Batch
from custody.database.consents import read_consents
from custody.database.engine import transaction
from custody.identity import Directory, IdentityConflictError, Reference
from custody.keys.tags import Epochs
from custody.normalise import NormalisedRow, normalise_rows
from custody.policy.model import Dataset, Scope
from custody.quality import Verdict, check_chunk
from custody.record import Payload, Value, encode_payload, to_payload
from custody.rows import Chunk, NumericCell, RawRow

_NO_TAG: Final = b""
_NO_CODES: Final[frozenset[str]] = frozenset()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row on its way through the checks.

    Attributes:
        raw: As the source has it.
        values: Its necessary fields, read.
        sound: Those of them with which nothing is wrong.
        payload: Its values as intake holds them.
        key: The parts of the record's own key, None where it is not whole.
        key_tag: Its tag, by which rows of a batch are compared; empty where it is not whole.
        kept_back: Whether its values may not be kept, for it lacks a lawful basis.
    """

    number: int
    raw: RawRow
    values: Mapping[str, Value]
    sound: Mapping[str, Value]
    payload: Payload
    references: Sequence[Reference]
    key: tuple[str, ...] | None
    key_tag: bytes
    content_tag: bytes
    codes: frozenset[str] = frozenset()
    kept_back: bool = False

    def __repr__(self) -> str:
        """Show the number and nothing of what the row holds."""
        return f"Row({self.number})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the checks of one chunk say, before anything is written."""

    accepted: tuple[Row, ...]
    refused: tuple[Row, ...]
    unchanged: int
    dropped: Mapping[str, int]
    verdict: Verdict
    basis: JudgedBasis | None

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows each code refuses."""
        return count_codes(row.codes for row in self.refused)

    @property
    def warnings(self) -> dict[str, int]:
        """How many rows each code warns of."""
        return count_codes(self.verdict.warnings.values())


def examine_chunk(custody: Custody, batch: Batch, chunk: Chunk) -> Examined:
    """Check a chunk's rows and write nothing.

    Raises:
        ChangedMeanwhileError: Tags were renewed over and over.
    """
    return again_if_changed(lambda: _examine_once(custody, batch, chunk))


def _examine_once(custody: Custody, batch: Batch, chunk: Chunk) -> Examined:
    dataset = custody.policy.dataset(batch.dataset)
    scope = custody.policy.scope(batch.purpose, batch.dataset)
    normalised = normalise_rows(dataset, chunk.rows, custody.zone, scope.fields)
    with transaction(custody.data) as connection:
        epochs = epochs_of(custody, connection)
        rows = _rows(custody, epochs, batch, dataset, chunk.rows, normalised)
        tags = record_tags(epochs, dataset.name, batch.purpose, batch.namespace)
        fresh = _without_unchanged(connection, tags, rows)
        verdict = _judge(custody, dataset, scope, normalised, fresh)
        bench = _Bench(custody, connection, epochs, batch, dataset, fresh)
    judged = [bench.judge(row, verdict) for row in fresh]
    return Examined(
        accepted=tuple(row for row in judged if not row.codes),
        refused=tuple(row for row in judged if row.codes),
        unchanged=len(rows) - len(fresh),
        dropped=_dropped(chunk.rows, scope),
        verdict=verdict,
        basis=bench.basis_of(judged),
    )


def raw_values(row: RawRow, scope: Scope) -> dict[str, str]:
    """Return the necessary fields as the source has them, for whoever must mend the row."""
    needed = scope.fields
    held = {name: value for name, value in row.values.items() if value and name in needed}
    return {
        name: value.text if isinstance(value, NumericCell) else value
        for name, value in held.items()
    }


def _rows(
    custody: Custody,
    epochs: Epochs,
    batch: Batch,
    dataset: Dataset,
    raw: Sequence[RawRow],
    normalised: Sequence[NormalisedRow],
) -> list[Row]:
    tags = custody.keyring.tags
    kinds = kinds_of(custody, epochs, dataset, batch.namespace)
    tag_of = tags.keys(dataset.name, batch.purpose, batch.namespace)
    rows = []
    for source, read in zip(raw, normalised, strict=True):
        values, problems = read.values, read.problems
        sound = values if not problems else {n: v for n, v in values.items() if n not in problems}
        key = None if read.row_problems else record_key_of(dataset, sound)
        key_tag = _NO_TAG if key is None else tag_of(*key)
        payload = to_payload(dataset, values)
        rows.append(
            Row(
                number=read.number,
                raw=source,
                values=values,
                sound=sound,
                payload=payload,
                references=references_of(kinds, sound),
                key=key,
                key_tag=key_tag,
                content_tag=tags.content(key_tag, encode_payload(payload)),
            )
        )
    return rows


def _without_unchanged(connection: Connection, tags: RecordTags, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that say something new: neither stored so nor earlier in the chunk."""
    stored = tags.stored(connection, (tags.tagged(row.key) for row in rows))
    contents = {known.content_tag for known in stored.values()}
    seen: set[bytes] = set()
    fresh = []
    for row in rows:
        # Equal content has an equal key, so it is the same record's.
        repeats = row.content_tag in seen or row.content_tag in contents
        if not (row.key and repeats):
            fresh.append(row)
        seen.add(row.content_tag)
    return fresh


def _judge(
    custody: Custody,
    dataset: Dataset,
    scope: Scope,
    normalised: Sequence[NormalisedRow],
    fresh: Sequence[Row],
) -> Verdict:
    numbers = {row.number for row in fresh}
    rows = [row for row in normalised if row.number in numbers]
    return check_chunk(custody.policy, dataset, scope, rows, today=custody.today())


class _Bench:
    """Judges the lawful basis of the rows of one chunk."""

    def __init__(
        self,
        custody: Custody,
        connection: Connection,
        epochs: Epochs,
        batch: Batch,
        dataset: Dataset,
        rows: Sequence[Row],
    ) -> None:
        """Read whose the rows are, and what those people consented to."""
        self._policy_digest = custody.policy.digest
        self._ground = Ground(custody, dataset, custody.policy.purpose(batch.purpose))
        references = [row.references for row in rows]
        directory = read_directory(connection, epochs, references)
        self._subjects = {row.number: _subject(directory, row) for row in rows}
        known = {subject for subject in self._subjects.values() if subject is not None}
        asked = known if self._ground.purpose.needs_consent else ()
        self._consents = read_consents(connection, asked)
        self._gone = read_suppressed(custody, connection, directory, references)

    def judge(self, row: Row, verdict: Verdict) -> Row:
        """Return the row with every code against its quality and against its lawful basis."""
        subject = self._subjects[row.number]
        basis: tuple[str, ...] = ()
        if _readable(row, verdict):
            given = consents_for(subject, self._consents.given)
            basis = self._ground.against(row.sound, frozenset(row.values), given)
        if subject is None and is_suppressed(self._gone, row.references):
            basis = (*basis, "subject_suppressed")
        codes = verdict.blocking.get(row.number, _NO_CODES).union(basis)
        if not codes and row.references:
            return row
        kept_back = bool(basis) or not row.references
        return structs.replace(row, codes=codes, kept_back=kept_back)

    def basis_of(self, rows: Iterable[Row]) -> JudgedBasis | None:
        """Return by what store knows that the accepted rows' consents are as they were judged.

        Where no consent is asked for there is nothing to judge twice, and where one ends at an
        instant to come it has to be judged again.
        """
        if not self._ground.purpose.needs_consent:
            return None
        subjects = {self._subjects[row.number] for row in rows if not row.codes}
        accepted = {subject for subject in subjects if subject is not None}
        given = (one for customer in accepted for one in self._consents.given.get(customer, ()))
        if any(
            one.withdrawn_at is not None and one.withdrawn_at > self._ground.at for one in given
        ):
            return None
        return JudgedBasis(policy_digest=self._policy_digest, mark=self._consents.mark_of(accepted))


def _readable(row: Row, verdict: Verdict) -> bool:
    """Whether the row says whose it is; if not, its quality codes say what is wrong with it."""
    return bool(row.references) or row.number not in verdict.blocking


def _subject(directory: Directory, row: Row) -> UUID | None:
    """Return the customer a row leads to; a contradiction is for store to quarantine."""
    try:
        return directory.find(row.references)
    except IdentityConflictError:
        return next(directory.by_tag[r.tag] for r in row.references if r.tag in directory.by_tag)


def _dropped(rows: Sequence[RawRow], scope: Scope) -> dict[str, int]:
    """Return how often each field that the purpose does not need held something."""
    needed = scope.fields
    brought = set[str]().union(*(row.values for row in rows)) - needed
    return count_codes(
        [name for name in brought if row.values.get(name)] for row in rows if brought
    )
