"""Quality as a control: suites kept whole by their digests; batches that their gate stops.

That a period's keys are destroyed is no longer asked of the ledger, whose entries end one day.
"""

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
ALTER TABLE custody.periods ADD keys_destroyed boolean NOT NULL DEFAULT false;
GRANT UPDATE (keys_destroyed) ON custody.periods TO custody_app;
UPDATE custody.periods SET keys_destroyed = true WHERE name IN (
    SELECT body::jsonb #>> '{facts,period}' FROM ledger.entries
    WHERE event = 'period:keys:destroyed');
"""


def upgrade() -> None:
    """Add the table, the state and the column."""
    op.get_bind().connection.cursor().execute(_QUALITY)
