"""How many bits of its tags each search index keeps, which follows the number of entries."""

from alembic import op

revision = "d0004"
down_revision = "d0003"

_PLANS = """
CREATE TABLE custody.search_plans (
    kind text PRIMARY KEY,
    bits smallint NOT NULL DEFAULT 16 CHECK (bits BETWEEN 0 AND 16)
);
GRANT SELECT, INSERT ON custody.search_plans TO custody_app;
GRANT UPDATE (bits) ON custody.search_plans TO custody_app;
GRANT UPDATE (tag) ON custody.search_index TO custody_app;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().connection.cursor().execute(_PLANS)
