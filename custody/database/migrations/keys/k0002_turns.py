"""Turns and ends of periods: a bucket knows that keys were deleted under it, or that it is over."""

from alembic import op

revision = "k0002"
down_revision = "k0001"

_COLUMNS = """
ALTER TABLE custody.buckets
    ADD dirty_at timestamptz,
    ADD closed_at timestamptz;
COMMENT ON COLUMN custody.buckets.dirty_at IS
    'Since when deleted keys may still be opened by the key-encryption key of this generation.';
COMMENT ON COLUMN custody.buckets.closed_at IS
    'When its last key-encryption key was destroyed; no key is made in it any more.';
CREATE INDEX buckets_dirty ON custody.buckets (period, slice) WHERE dirty_at IS NOT NULL;
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().connection.cursor().execute(_COLUMNS)
