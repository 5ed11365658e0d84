"""Statements on expiry periods: open, closing, closed, and what still lies in one."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from custody.retention import OPEN

_STATES = text("SELECT name, state FROM periods WHERE name = ANY(:names) FOR SHARE")
_LIST = text("SELECT name, state FROM periods ORDER BY name")
_LOCK = text("SELECT state FROM periods WHERE name = :name FOR UPDATE")
_SET = text("UPDATE periods SET state = :state WHERE name = :name")
_LEFT = text(
    "SELECT r.id, r.customer_id, EXISTS (SELECT FROM holds h WHERE h.customer_id = r.customer_id"
    "  AND h.lifted_at IS NULL AND (h.record_id IS NULL OR h.record_id = r.id)) AS held,"
    " r.ends_on IS NULL OR r.ends_on > :last_day AS rebased"
    " FROM records r WHERE r.period = :name ORDER BY r.id LIMIT :most"
)
_DESTROYED = text("SELECT name FROM periods WHERE keys_destroyed")
_NOTE_DESTROYED = text("UPDATE periods SET keys_destroyed = true WHERE name = :name")
_PERIODS_OF = text("SELECT DISTINCT period FROM records WHERE customer_id = :customer")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftRecord:
    """A record that still lies in a period that is over.

    Attributes:
        held: Whether a legal hold keeps it.
        rebased: Whether it falls due in a later period by now.
    """

    id: UUID
    customer_id: UUID
    held: bool
    rebased: bool


def open_period(connection: Connection, name: str) -> None:
    """Make an expiry period and its partition, unless it is there."""
    connection.execute(text("SELECT open_period(:name)"), {"name": name})


def end_period(connection: Connection, name: str) -> None:
    """Drop the partition of a closing, empty period, and close it.

    Raises:
        DatabaseError: It is not closing, or not empty.
    """
    connection.execute(text("SELECT end_period(:name)"), {"name": name})


def share_periods(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """Lock the periods against closing and return their states."""
    return {row.name: row.state for row in connection.execute(_STATES, {"names": sorted(names)})}


def share_periods_of(connection: Connection, customer_id: UUID) -> dict[str, str]:
    """Lock the periods in which a customer has records against closing; return their states."""
    names = connection.execute(_PERIODS_OF, {"customer": customer_id}).scalars()
    return share_periods(connection, names)


def list_periods(connection: Connection) -> dict[str, str]:
    """Return every period but ``open``, with its state, in order."""
    found = {row.name: row.state for row in connection.execute(_LIST)}
    return {name: state for name, state in found.items() if name != OPEN}


def lock_period(connection: Connection, name: str) -> str | None:
    """Lock a period against everybody who is about to write into it, and return its state."""
    found: str | None = connection.execute(_LOCK, {"name": name}).scalar_one_or_none()
    return found


def set_period_state(connection: Connection, name: str, state: str) -> None:
    """Set a period's state; it was locked before."""
    connection.execute(_SET, {"name": name, "state": state})


def records_left(
    connection: Connection, name: str, last_day: object, most: int
) -> list[LeftRecord]:
    """Return up to ``most`` of the records that still lie in a period."""
    parameters = {"name": name, "last_day": last_day, "most": most}
    return [LeftRecord(**row._mapping) for row in connection.execute(_LEFT, parameters)]


def destroyed_periods(connection: Connection) -> set[str]:
    """Return the periods whose keys are destroyed."""
    return set(connection.execute(_DESTROYED).scalars())


def note_destroyed(connection: Connection, name: str) -> None:
    """Note that a period's keys are destroyed, with the entry that says so."""
    connection.execute(_NOTE_DESTROYED, {"name": name})
