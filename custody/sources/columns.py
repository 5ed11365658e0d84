"""Which column of a source means which field.

A column the source maps explicitly settles its field; the others are compared with the fields'
names and aliases, after NFKC, stripping and case folding. A column that means nothing is not read.
The words of a header are never repeated in an error: where a file has no header they are the first
customer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from custody.folding import fold_keeping_spaces
from custody.policy.model import Dataset, Source
from custody.sources.reader import SourceError

MOST_COLUMNS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMap:
    """The field of each column, None where it means none."""

    places: tuple[str | None, ...]

    @property
    def fields(self) -> frozenset[str]:
        """Return the fields that have a column."""
        return frozenset(name for name in self.places if name is not None)

    @property
    def unknown(self) -> int:
        """Return how many columns mean no field."""
        return self.places.count(None)

    @property
    def known(self) -> tuple[tuple[int, str], ...]:
        """Return place and field of every column that means one."""
        return tuple((place, name) for place, name in enumerate(self.places) if name is not None)


def map_columns(
    source: Source, dataset: Dataset, header: Sequence[str], required: frozenset[str]
) -> ColumnMap:
    """Return which field each column of ``header`` means.

    Args:
        source: The source, with its explicit columns.
        dataset: The dataset its rows belong to.
        header: The source's column names.
        required: Fields that must have a column, beside the record key.

    Raises:
        SourceError: Required columns are missing (all are named), two columns mean one field, or
            there are too many columns.
    """
    if len(header) > MOST_COLUMNS:
        raise SourceError(f"more than {MOST_COLUMNS} columns", source.name)
    places = _places(source, dataset, [_word(column) for column in header])
    _refuse_ambiguous(source, places)
    missing = sorted((required | set(dataset.record_key)) - set(places))
    if missing:
        raise SourceError(f"no column for {', '.join(missing)}", source.name)
    return ColumnMap(places=places)


def _places(source: Source, dataset: Dataset, words: Sequence[str]) -> tuple[str | None, ...]:
    explicit = {_word(column): name for column, name in source.columns.items()}
    settled = {explicit[word] for word in words if word in explicit}
    aliases = {
        _word(alias): field.name
        for field in dataset.fields
        if field.name not in settled
        for alias in (field.name, *field.aliases)
    }
    meanings = aliases | explicit
    return tuple(
        name if (name := meanings.get(word)) in dataset.field_names else None for word in words
    )


def _refuse_ambiguous(source: Source, places: Sequence[str | None]) -> None:
    twice = sorted({name for name in places if name is not None and places.count(name) > 1})
    if twice:
        raise SourceError(f"more than one column for {', '.join(twice)}", source.name)


def _word(column: str) -> str:
    return fold_keeping_spaces(column).casefold()
