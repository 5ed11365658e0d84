"""Where records come from: files and legacy databases, read in chunks of rows.

Nothing here judges a value. A reader yields text by field name, and a code where the row as a whole
cannot be trusted; see :mod:`custody.normalise` for what comes next.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from custody.policy.model import CONSENTS, Dataset, Source
from custody.sources.consents import REQUIRED_COLUMNS
from custody.sources.csv_reader import CsvReader
from custody.sources.reader import Reader, SourceError, Span
from custody.sources.xlsx_reader import XlsxReader

__all__ = ["Reader", "SourceError", "Span", "open_source"]

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")


def open_source(  # noqa: PLR0913 - what a source is opened with
    source: Source,
    *,
    location: str | None,
    dataset: Dataset,
    chunk_rows: int,
    environment: Mapping[str, str],
    required: frozenset[str] = frozenset(),
    known: Mapping[str, Any] | None = None,
) -> Reader:
    """Open a source.

    Args:
        source: The source as the policy registers it.
        location: A path or database URL that goes before the source's own, or None.
        dataset: The dataset its rows belong to.
        chunk_rows: Rows per chunk.
        environment: Where a location like ``${NAME}`` is looked up.
        required: Fields that must have a column, beside the record key; usually those the purpose
            requires.
        known: The ``layout`` of an earlier reader of it, None for the first one.

    Raises:
        SourceError: It cannot be opened, required columns are missing, or it is not what its
            registration says.
        QualityGateError: The file as a whole is damaged or in no known encoding.
    """
    place = _resolved(location or source.location, source, environment)
    if dataset.name == CONSENTS:
        required |= REQUIRED_COLUMNS
    if source.kind == "csv":
        return CsvReader(
            place,
            source=source,
            dataset=dataset,
            chunk_rows=chunk_rows,
            required=required,
            known=known or {},
        )
    return _OPENERS[source.kind](place, source, dataset, chunk_rows, required)


def _xlsx(
    place: str, source: Source, dataset: Dataset, chunk_rows: int, required: frozenset[str]
) -> Reader:
    return XlsxReader(
        place, source=source, dataset=dataset, chunk_rows=chunk_rows, required=required
    )


def _sql(
    place: str, source: Source, dataset: Dataset, chunk_rows: int, required: frozenset[str]
) -> Reader:
    # SQLAlchemy is slow to import, and files do not need it.
    from custody.sources.sql_reader import SqlReader  # noqa: PLC0415

    return SqlReader(
        place, source=source, dataset=dataset, chunk_rows=chunk_rows, required=required
    )


_OPENERS: Final = {"xlsx": _xlsx, "sql": _sql}


def _resolved(location: str | None, source: Source, environment: Mapping[str, str]) -> str:
    if location is None:
        raise SourceError("no location is registered and none was given", source.name)
    reference = _REFERENCE.match(location)
    if reference is None:
        return location
    found = environment.get(reference[1])
    if not found:
        raise SourceError(f"the environment has no {reference[1]}", source.name)
    return found
