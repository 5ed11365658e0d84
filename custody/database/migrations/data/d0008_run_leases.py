"""Leases of flow runs: that a run's process is alive, by its own word, and may go on."""

from alembic import op

revision = "d0008"
down_revision = "d0007"

_LEASES = """
CREATE TABLE custody.run_leases (
    run_id uuid PRIMARY KEY,
    flow text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    fenced_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX ON custody.run_leases (seen_at) WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE (seen_at, fenced_at, ended_at) ON custody.run_leases TO custody_app;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().connection.cursor().execute(_LEASES)
