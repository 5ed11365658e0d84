"""Writers of the legacy system's files: they keep no rows, except those meant for the end."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from custody.demo.planting import EXTRA_CELL, NUMERIC_CELL
from custody.demo.rows import Row

_ID_FIELD = "resident_id"


class Writer(Protocol):
    """Where rows of one source go."""

    def write(self, row: Row, kinds: tuple[str, ...]) -> int:
        """Append a row and return its number, from 1."""

    def __enter__(self) -> Self:  # noqa: D105 - what every context manager does
        ...

    def __exit__(  # noqa: D105 - likewise
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class CsvWriter:
    """A CSV file with a header; rows end in CR LF, as most legacy exports do."""

    def __init__(self, path: Path, columns: Mapping[str, str], encoding: str) -> None:
        self._file = path.open("w", encoding=encoding, newline="")
        self._rows = csv.writer(self._file)
        self._columns = columns
        self._rows.writerow(columns.values())
        self._count = 0

    def write(self, row: Row, kinds: tuple[str, ...]) -> int:  # noqa: ARG002 - text shows all kinds
        """Append a row and return its number, from 1."""
        extra = [row[EXTRA_CELL]] if EXTRA_CELL in row else []
        self._rows.writerow([*(row[field] for field in self._columns), *extra])
        self._count += 1
        return self._count

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()


class XlsxWriter:
    """A workbook of text cells, but for the resident IDs somebody typed as numbers."""

    def __init__(self, path: Path, columns: Mapping[str, str], title: str) -> None:
        from openpyxl import Workbook  # noqa: PLC0415 - slow to import, and only the demo needs it

        self._path, self._columns = path, columns
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet(title)
        self._sheet.append(list(columns.values()))
        self._count = 0

    def write(self, row: Row, kinds: tuple[str, ...]) -> int:
        """Append a row and return its number, from 1."""
        cells: list[str | float] = [row[field] for field in self._columns]
        if NUMERIC_CELL in kinds:
            place = list(self._columns).index(_ID_FIELD)
            cells[place] = float(row[_ID_FIELD].rstrip("X"))
        self._sheet.append(cells)
        self._count += 1
        return self._count

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the workbook."""
        self._book.save(self._path)
