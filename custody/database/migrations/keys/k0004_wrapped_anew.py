"""Keys of batches and consents are wrapped again under another suite, in place."""

from alembic import op

revision = "k0004"
down_revision = "k0003"

_RIGHTS = """
GRANT UPDATE (wrapped) ON custody.batch_keys, custody.consent_keys TO custody_app;
"""


def upgrade() -> None:
    """Let the application put another wrap in the place of one."""
    op.get_bind().connection.cursor().execute(_RIGHTS)
