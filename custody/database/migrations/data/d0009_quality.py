"""Quality as a control: suites kept whole by their digests; batches that their gate stops."""

from alembic import op

revision = "d0009"
down_revision = "d0008"

_QUALITY = """
CREATE TABLE custody.quality_suites (
    digest text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    body text NOT NULL
);
GRANT SELECT, INSERT ON custody.quality_suites TO custody_app;
ALTER TABLE custody.batches DROP CONSTRAINT batches_state_check,
    ADD CHECK (state IN ('open', 'stopped', 'ingested', 'stored', 'reverted'));
"""


def upgrade() -> None:
    """Add the table and the state."""
    op.get_bind().connection.cursor().execute(_QUALITY)
