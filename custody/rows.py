"""Rows as a source gives them: text by field name, before anybody has read it.

The values never show in a ``repr``: a row in a traceback or an assertion would be a leak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec


@dataclass(frozen=True, kw_only=True, slots=True)
class NumericCell:
    """A number that the source stored as a binary floating point number.

    Whatever was an identifier in such a cell has lost its leading zeros and every digit after the
    fifteenth, so the reader of the value must know where the digits came from.

    Attributes:
        text: The number in plain decimal notation, without an exponent.
    """

    text: str = field(repr=False)


RawValue: TypeAlias = str | NumericCell | None


class RawRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a source.

    Attributes:
        number: The place among the source's data rows, from 1.
        values: What the row holds, by field name; columns that mean no field are left out.
        problems: Codes that concern the row as a whole. Where there is one the columns cannot be
            trusted, so no field of the row is judged.
    """

    number: int
    values: Mapping[str, RawValue]
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show the number and the problems, and no value."""
        return f"RawRow(number={self.number!r}, problems={self.problems!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Consecutive rows that are claimed, done and committed together; numbers start at 0."""

    number: int
    rows: tuple[RawRow, ...] = field(repr=False)
