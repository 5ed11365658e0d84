"""From the text of a source to one value per field, or to the codes that say why not.

Nothing here raises on data, and nothing here knows the day or the other fields of the row: ranges,
plausible dates, uniqueness and what fields say about each other are judged by
:mod:`custody.quality`. Of one field, in this order, only the first is reported:

1. what kept it from being read: ``undecodable_text``, ``control_character``,
   ``numeric_identifier_cell``, ``confusable_character``, ``type_invalid``, ``date_implausible``
   (the shape of a date, but no such day);
2. its shape: ``resident_id_malformed``, ``mobile_malformed``, ``email_malformed``,
   ``format_invalid``;
3. the date inside it: ``resident_id_date``;
4. its check character: ``resident_id_check_digit``, ``bank_card_check_digit``.

``text_too_long`` is a defect of its own, of texts without a detector, and is given beside the
others.

A field that people write as text keeps its characters: NFC, stripped of outer spaces unless it is
free text, nothing else. What identifies somebody is folded first (:mod:`custody.folding`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, TypeAlias
from unicodedata import normalize

import msgspec

from custody.folding import character_problem, fold
from custody.identifier_forms import IDENTIFIERS, Reading, read_plain_identifier
from custody.plain_forms import Held, PlainReader, plain_reader
from custody.policy.model import Dataset, Field, FieldType
from custody.rows import NumericCell, RawRow, RawValue
from custody.typed_forms import read_code, read_date, read_decimal, read_instant, read_integer

Value: TypeAlias = Held | None

_LOSSLESS_AS_NUMBER: Final = frozenset({"mobile", "phone"})
_TYPED: Final[Mapping[FieldType, Callable[[str], Reading[Value]]]] = {
    FieldType.DATE: read_date,
    FieldType.DECIMAL: read_decimal,
    FieldType.INTEGER: read_integer,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalised:
    """A field's value and the codes against it.

    Attributes:
        value: None where the row holds nothing, and where a typed field could not be read. A text
            keeps its folded characters even where there is a problem.
        problems: Codes; a value without any has the shape its field asks for.
    """

    value: Value = field(repr=False)
    problems: tuple[str, ...] = ()


class NormalisedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of values.

    Attributes:
        number: The row's number in its source.
        values: By field name; only fields that hold something readable.
        problems: Codes by field name, only fields that have some.
        row_problems: Codes against the row as a whole; where there are any, no field was read.
    """

    number: int
    values: Mapping[str, Held]
    problems: Mapping[str, tuple[str, ...]]
    row_problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show the problems and no value."""
        return f"NormalisedRow({self.number}, {self.row_problems}, {dict(self.problems)})"


_NOTHING: Final = Normalised(value=None)


def normalise_value(
    field: Field, raw: RawValue, zone: tzinfo, *, identifier: bool = False
) -> Normalised:
    """Return the value of ``raw`` for ``field``, and what is wrong with it.

    Args:
        field: The field the value belongs to.
        raw: What the source holds.
        zone: Where naive times of day were written.
        identifier: Whether the field names a record or a subject, so that a text in it must be
            folded and a numeric cell has lost digits.
    """
    if raw is None:
        return _NOTHING
    if isinstance(raw, NumericCell):
        if _loses_digits(field, identifier=identifier):
            return Normalised(value=raw.text, problems=("numeric_identifier_cell",))
        raw = raw.text
    if _is_blank(raw):
        return _NOTHING
    problem = character_problem(raw)
    if problem:
        return _limited(field, Normalised(value=_kept(field, raw), problems=(problem,)))
    return _limited(field, _read(field, raw, zone, identifier=identifier))


def normalise_rows(
    dataset: Dataset, rows: Iterable[RawRow], zone: tzinfo, fields: Collection[str] | None = None
) -> list[NormalisedRow]:
    """Return the rows with every field of ``fields`` (default: all of the dataset) read.

    What is outside ``fields`` is left out: nobody judges what the purpose does not need.
    """
    named = identifier_fields(dataset)
    wanted = [
        (one.name, plain_reader(one, identifier=one.name in named), one, one.name in named)
        for one in dataset.fields
        if fields is None or one.name in fields
    ]
    return [_row(row, wanted, zone) for row in rows]


def identifier_fields(dataset: Dataset) -> frozenset[str]:
    """Return the fields that name a record or a subject."""
    return frozenset(dataset.record_key) | {one.field for one in dataset.references}


def _row(
    row: RawRow, wanted: list[tuple[str, PlainReader, Field, bool]], zone: tzinfo
) -> NormalisedRow:
    values: dict[str, Held] = {}
    problems: dict[str, tuple[str, ...]] = {}
    if row.problems:
        return NormalisedRow(
            number=row.number, values=values, problems=problems, row_problems=row.problems
        )
    cells = row.values
    for name, plain, one, identifier in wanted:
        raw = cells.get(name)
        if not raw:
            continue
        if isinstance(raw, str):
            value = plain(raw)
            if value is not None:
                values[name] = value
                continue
        read = normalise_value(one, raw, zone, identifier=identifier)
        if read.value is not None:
            values[name] = read.value
        if read.problems:
            problems[name] = read.problems
    return NormalisedRow(number=row.number, values=values, problems=problems)


def _loses_digits(field: Field, *, identifier: bool) -> bool:
    if field.type is not FieldType.TEXT or field.detector in _LOSSLESS_AS_NUMBER:
        return False
    return identifier or field.detector in IDENTIFIERS


def _is_blank(raw: str) -> bool:
    return not raw or (not raw[0].isalnum() and (raw.isspace() or not fold(raw)))


def _kept(field: Field, raw: str) -> str | None:
    return raw if field.type in {FieldType.TEXT, FieldType.CODE} else None


def _read(field: Field, raw: str, zone: tzinfo, *, identifier: bool) -> Normalised:
    if field.type is FieldType.TEXT:
        return _read_text(field, raw, identifier=identifier)
    if field.type is FieldType.CODE:
        return _normalised(read_code(field, raw))
    if field.type is FieldType.INSTANT:
        return _normalised(read_instant(raw, zone))
    return _normalised(_TYPED[field.type](raw))


def _read_text(field: Field, raw: str, *, identifier: bool) -> Normalised:
    reader = IDENTIFIERS.get(field.detector or "")
    if reader is not None:
        return _normalised(reader(raw))
    if identifier:
        return _normalised(read_plain_identifier(raw))
    text = normalize("NFC", raw)
    return Normalised(value=text if field.free_text else text.strip())


def _limited(field: Field, read: Normalised) -> Normalised:
    if field.type is not FieldType.TEXT or field.detector in IDENTIFIERS:
        return read
    if not isinstance(read.value, str) or not 0 < field.max_length < len(read.value):
        return read
    return Normalised(value=read.value, problems=(*read.problems, "text_too_long"))


def _normalised(read: Reading[Value]) -> Normalised:
    value, problem = read
    return Normalised(value=value, problems=(problem,) if problem else ())
