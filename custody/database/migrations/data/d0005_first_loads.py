"""What a first load pays for: indexes of identity tags, and what need not be found out twice."""

from alembic import op

revision = "d0005"
down_revision = "d0004"

# Every tag stands in exactly one of the two indexes by customer. A tag is written under the lock of
# its customer, or in the transaction that creates it, and customers are never deleted: the foreign
# key asked what is known, one query a row.
_IDENTITY_TAGS = """
ALTER TABLE custody.identity_tags DROP CONSTRAINT identity_tags_customer_id_fkey;
DROP INDEX custody.identity_tags_of_customer;
CREATE INDEX identity_tags_several ON custody.identity_tags (customer_id) WHERE NOT single;
"""

_LAYOUT = """
ALTER TABLE custody.batches ADD layout jsonb;
COMMENT ON COLUMN custody.batches.layout IS
    'Where the chunks of a file begin, and by what it is known to be the same file still.';
"""

_BASIS = """
ALTER TABLE custody.batch_chunks ADD basis jsonb;
COMMENT ON COLUMN custody.batch_chunks.basis IS
    'By what store knows that the consents are as ingest judged them.';
"""


def upgrade() -> None:
    """Change the indexes, add the columns."""
    raw = op.get_bind().connection.cursor()
    raw.execute(_IDENTITY_TAGS)
    raw.execute(_LAYOUT)
    raw.execute(_BASIS)
