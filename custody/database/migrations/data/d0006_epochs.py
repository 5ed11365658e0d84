"""Identity tags are renewed: the reference lies sealed beside its tag, which has an epoch.

What makes the tag that outlives an erasure is the reference itself, opened then; until now that tag
lay beside the identity tag, and its key is never renewed.
"""

from alembic import op

from custody.errors import UsageError

revision = "d0006"
down_revision = "d0005"

_EPOCHS = """
CREATE TABLE custody.identity_epoch (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch integer NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO custody.identity_epoch (epoch) VALUES (1);
GRANT SELECT ON custody.identity_epoch TO custody_app;
GRANT UPDATE (epoch, began_at) ON custody.identity_epoch TO custody_app;

ALTER TABLE custody.identity_tags DROP COLUMN suppression, ADD key_id uuid NOT NULL,
    ADD sealed bytea NOT NULL, ALTER epoch TYPE integer, ALTER sealed SET STATISTICS 0;
GRANT UPDATE (tag, epoch, sealed) ON custody.identity_tags TO custody_app;
ALTER TABLE custody.record_keys ADD epoch integer NOT NULL;
"""


def upgrade() -> None:
    """Add the tables and columns.

    Raises:
        UsageError: There are tags already: nothing could be put beside them.
    """
    raw = op.get_bind().connection.cursor()
    if raw.execute("SELECT FROM custody.identity_tags LIMIT 1").fetchone() is not None:
        raise UsageError("customers of an earlier version cannot be taken over; begin a new home")
    raw.execute(_EPOCHS)
