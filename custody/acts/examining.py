"""The checks of ingest on one chunk, before anything is written.

1. Values are normalised. 2. Rows that repeat what is stored, or an earlier row of the chunk, are
set aside as unchanged. 3. Great Expectations judges the rest. 4. Every row's lawful basis is
judged, whatever its quality. 5. What the purpose does not need is counted and goes no further.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy import Connection

from custody.acts.basis import Ground, against_basis, consents_for
from custody.acts.context import Custody
from custody.acts.subjects import read_directory, references_of
from custody.counts import count_codes
from custody.database.batches import Batch
from custody.database.consents import consents_of
from custody.database.customers import suppressed
from custody.database.engine import transaction
from custody.database.records import record_keys
from custody.identity import Directory, IdentityConflictError, Reference
from custody.normalise import NormalisedRow, normalise_rows
from custody.policy.model import Dataset, Scope
from custody.quality import Verdict, check_chunk
from custody.record import Value, encode_payload, to_payload
from custody.rows import Chunk, NumericCell, RawRow

_NO_TAG = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row on its way through the checks."""

    number: int
    raw: Mapping[str, str] = field(repr=False)
    values: Mapping[str, Value] = field(repr=False)
    sound: Mapping[str, Value] = field(repr=False)
    references: Sequence[Reference]
    record_tag: bytes
    content_tag: bytes
    codes: frozenset[str] = frozenset()
    kept_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the checks of one chunk say, before anything is written."""

    accepted: tuple[Row, ...]
    refused: tuple[Row, ...]
    unchanged: int
    dropped: Mapping[str, int]
    verdict: Verdict

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows each code refuses."""
        return count_codes(row.codes for row in self.refused)

    @property
    def warnings(self) -> dict[str, int]:
        """How many rows each code warns of."""
        return count_codes(self.verdict.warnings.values())


def examine_chunk(custody: Custody, batch: Batch, chunk: Chunk) -> Examined:
    """Check a chunk's rows and write nothing."""
    dataset = custody.policy.dataset(batch.dataset)
    scope = custody.policy.scope(batch.purpose, batch.dataset)
    normalised = normalise_rows(dataset, chunk.rows, custody.zone, scope.fields)
    raw = {row.number: _raw(row, scope) for row in chunk.rows}
    rows = [_row(custody, batch, dataset, one, raw[one.number]) for one in normalised]
    with transaction(custody.data) as connection:
        fresh = _without_unchanged(connection, rows)
        verdict = _judge(custody, dataset, scope, normalised, fresh)
        judged = list(_with_codes(custody, connection, batch, dataset, fresh, verdict))
    return Examined(
        accepted=tuple(row for row in judged if not row.codes),
        refused=tuple(row for row in judged if row.codes),
        unchanged=len(rows) - len(fresh),
        dropped=_dropped(chunk.rows, scope),
        verdict=verdict,
    )


def _raw(row: RawRow, scope: Scope) -> dict[str, str]:
    """Return the necessary fields as the source has them, for whoever must mend the row."""
    held = {name: value for name, value in row.values.items() if value and name in scope.fields}
    return {
        name: value.text if isinstance(value, NumericCell) else value
        for name, value in held.items()
    }


def _row(
    custody: Custody,
    batch: Batch,
    dataset: Dataset,
    normalised: NormalisedRow,
    raw: Mapping[str, str],
) -> Row:
    values = {name: value for name, value in normalised.values.items() if value is not None}
    sound = {n: v for n, v in values.items() if n not in normalised.problems}
    key = [sound.get(name) for name in dataset.record_key]
    tags = custody.keyring.tags
    record_tag = _NO_TAG
    if None not in key and not normalised.row_problems:
        parts = [str(part) for part in key]
        record_tag = tags.record(dataset.name, batch.purpose, batch.namespace, parts)
    return Row(
        number=normalised.number,
        raw=raw,
        values=values,
        sound=sound,
        references=references_of(custody, dataset, batch.namespace, sound),
        record_tag=record_tag,
        content_tag=tags.content(record_tag, encode_payload(to_payload(dataset, values))),
    )


def _without_unchanged(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that say something new: neither stored so nor earlier in the chunk."""
    stored = record_keys(connection, {row.record_tag for row in rows if row.record_tag})
    seen: set[bytes] = set()
    fresh = []
    for row in rows:
        known = stored.get(row.record_tag)
        repeats = row.content_tag in seen or (known and bytes(known.content_tag) == row.content_tag)
        if not (row.record_tag and repeats):
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
    return check_chunk(dataset, scope, rows, today=custody.today())


def _with_codes(
    custody: Custody,
    connection: Connection,
    batch: Batch,
    dataset: Dataset,
    rows: Sequence[Row],
    verdict: Verdict,
) -> Iterable[Row]:
    """Yield each row with every code against its quality and against its lawful basis."""
    ground = Ground(dataset=dataset, purpose=custody.policy.purpose(batch.purpose))
    directory = read_directory(connection, [row.references for row in rows])
    subjects = {row.number: _subject(directory, row) for row in rows}
    known = {subject for subject in subjects.values() if subject is not None}
    consents = consents_of(connection, known) if ground.purpose.needs_consent else {}
    tags = {reference.suppression_tag for row in rows for reference in row.references}
    gone = suppressed(connection, tags, custody.today())
    for row in rows:
        subject = subjects[row.number]
        basis: set[str] = set()
        if _readable(row, verdict):
            given = consents_for(subject, consents)
            present = frozenset(row.values)
            basis |= set(against_basis(custody, ground, row.sound, present, given))
        if subject is None and any(r.suppression_tag in gone for r in row.references):
            basis.add("subject_suppressed")
        codes = basis | verdict.blocking.get(row.number, frozenset())
        yield replace(row, codes=frozenset(codes), kept_back=bool(basis) or not row.references)


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
    return count_codes(
        [name for name, value in row.values.items() if value and name not in scope.fields]
        for row in rows
    )
