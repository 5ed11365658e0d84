"""How one field of one record is shown: in clear only as far as was asked for and permitted.

Detection may have sealed a value at a higher level than its field declares, an ID number in a call
note, say. What was granted or approved then covered the declared level, so such a value is hidden
whole (a mask expects what its field declares), unless the reader's role and two approvals reach
the level it was sealed at.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

from custody.approval import CLEAR
from custody.mask import HIDDEN, mask_value
from custody.policy.model import Field, Level
from custody.record import Value

GENERAL_ONLY = Level.GENERAL.rank


def in_clear(field: Field, asked: str, sealed_at: Level, reach: int) -> bool:
    """Whether the value may be shown as it is.

    It was granted as ``asked``, ``clear`` or ``masked``, and lies in the compartment
    ``sealed_at``; raised values may be shown up to the rank ``reach``.
    """
    return asked == CLEAR and sealed_at.rank <= max(field.level.rank, reach)


def show_value(
    field: Field, value: Value | None, *, asked: str, sealed_at: Level, reach: int
) -> str:
    """Return the value as text, masked unless it may be shown in clear; empty without one."""
    if value is None:
        return ""
    if in_clear(field, asked, sealed_at, reach):
        return plain_text(value)
    raised = sealed_at.rank > field.level.rank
    return HIDDEN if raised else mask_value(field.mask, value) or ""


def plain_text(value: Value) -> str:
    """Return a value in clear: ISO 8601 for days and instants, decimals without exponent."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)
