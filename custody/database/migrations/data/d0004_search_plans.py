"""How each search index is kept: how many bits of its tags, and whether it is complete."""

from alembic import op

revision = "d0004"
down_revision = "d0003"

_PLANS = """
CREATE TABLE custody.search_plans (
    kind text PRIMARY KEY,
    dataset text NOT NULL,
    bits smallint NOT NULL CHECK (bits BETWEEN 0 AND 16),
    complete boolean NOT NULL
);
-- The entries so far are of indexes that bore the names of fields; each is written anew.
DELETE FROM custody.search_index;
GRANT SELECT, INSERT ON custody.search_plans TO custody_app;
GRANT UPDATE (bits, complete) ON custody.search_plans TO custody_app;
GRANT UPDATE (tag) ON custody.search_index TO custody_app;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().connection.cursor().execute(_PLANS)
