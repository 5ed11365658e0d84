"""What a first load pays for: a data key stands in three indexes, and its bucket is looked up once.

Buckets are never deleted, and whoever adds keys joins them to their buckets (keytables), so the
foreign key asked what is known, one query a key. Nobody looks for keys by customer alone.
"""

from alembic import op

revision = "k0003"
down_revision = "k0002"

_DATA_KEYS = """
ALTER TABLE custody.data_keys DROP CONSTRAINT data_keys_period_slice_fkey;
DROP INDEX custody.data_keys_of_customer;
"""


def upgrade() -> None:
    """Drop the foreign key and the index."""
    op.get_bind().connection.cursor().execute(_DATA_KEYS)
