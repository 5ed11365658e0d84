"""Statements on the leases of flow runs; the time is the database's, which all hosts share."""

from uuid import UUID

from sqlalchemy import Connection, text

_BEGIN = text(
    "INSERT INTO run_leases (run_id, flow) VALUES (:run_id, :flow) ON CONFLICT (run_id) DO UPDATE"
    " SET seen_at = clock_timestamp(), ended_at = NULL WHERE run_leases.fenced_at IS NULL"
)
_RENEW = text(
    "UPDATE run_leases SET seen_at = clock_timestamp() WHERE run_id = :run_id"
    " AND fenced_at IS NULL AND ended_at IS NULL"
)
_END = text(
    "UPDATE run_leases SET ended_at = clock_timestamp() WHERE run_id = :run_id AND ended_at IS NULL"
)
# A lease that is locked is in an act's transaction: its run is alive.
_FENCE = text(
    "UPDATE run_leases SET fenced_at = clock_timestamp() WHERE run_id IN (SELECT run_id"
    " FROM run_leases WHERE ended_at IS NULL AND fenced_at IS NULL"
    " AND seen_at < clock_timestamp() - make_interval(secs => :seconds) FOR UPDATE SKIP LOCKED)"
)
_FENCED = text(
    "SELECT run_id, flow FROM run_leases WHERE fenced_at IS NOT NULL AND ended_at IS NULL"
    " ORDER BY began_at"
)
_FENCE_UNBEGUN = text(
    "INSERT INTO run_leases (run_id, flow, fenced_at) VALUES (:run_id, :flow, clock_timestamp())"
    " ON CONFLICT (run_id) DO NOTHING"
)
_IS_HELD = text(
    "SELECT fenced_at IS NULL AND ended_at IS NULL FROM run_leases WHERE run_id = :run_id FOR SHARE"
)
_KNOWN = text("SELECT run_id FROM run_leases WHERE run_id = ANY(:run_ids)")


def begin_lease(connection: Connection, run_id: UUID, flow: str) -> bool:
    """Begin a run's lease, or begin it again; return whether it may go on."""
    return connection.execute(_BEGIN, {"run_id": run_id, "flow": flow}).rowcount == 1


def renew_lease(connection: Connection, run_id: UUID) -> bool:
    """Say that a run's process is alive, and return whether it may go on."""
    return connection.execute(_RENEW, {"run_id": run_id}).rowcount == 1


def end_lease(connection: Connection, run_id: UUID) -> None:
    """Say that a run has ended."""
    connection.execute(_END, {"run_id": run_id})


def fence_silent(connection: Connection, seconds: float) -> int:
    """Take the leases of runs that were silent for so long, and return how many there were."""
    return connection.execute(_FENCE, {"seconds": seconds}).rowcount


def fenced_runs(connection: Connection) -> dict[UUID, str]:
    """Return the runs whose lease was taken and whose end nobody has recorded, with their flows."""
    return {row.run_id: row.flow for row in connection.execute(_FENCED)}


def fence_unbegun(connection: Connection, run_id: UUID, flow: str) -> bool:
    """Keep a run that has no lease from beginning one, and return whether it had none."""
    return connection.execute(_FENCE_UNBEGUN, {"run_id": run_id, "flow": flow}).rowcount == 1


def is_held(connection: Connection, run_id: UUID) -> bool:
    """Return whether a run has its lease, and keep that from changing until the commit."""
    return bool(connection.execute(_IS_HELD, {"run_id": run_id}).scalar_one_or_none())


def runs_with_lease(connection: Connection, run_ids: list[UUID]) -> set[UUID]:
    """Return which of these runs ever had a lease."""
    return set(connection.execute(_KNOWN, {"run_ids": run_ids}).scalars())
