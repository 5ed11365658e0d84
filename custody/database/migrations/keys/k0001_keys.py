"""The key database: buckets and wrapped keys, nothing else."""

from alembic import op

revision = "k0001"
down_revision = None

_TABLES = """
CREATE TABLE custody.buckets (
    period text NOT NULL,
    slice smallint NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    kek_id uuid NOT NULL UNIQUE,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (period, slice)
);
COMMENT ON TABLE custody.buckets IS
    'One key-encryption key per expiry period and slice; its bytes lie in the keystore.';

-- Pages are left half empty, so that a turn, which updates every row, touches no index.
-- A retired key still opens but is never handed out again; it is deleted once its records are gone.
CREATE TABLE custody.data_keys (
    key_id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    period text NOT NULL,
    slice smallint NOT NULL,
    generation integer NOT NULL,
    customer_generation integer NOT NULL,
    retired boolean NOT NULL DEFAULT false,
    wrapped bytea NOT NULL,
    FOREIGN KEY (period, slice) REFERENCES custody.buckets (period, slice)
) WITH (fillfactor = 45);
CREATE UNIQUE INDEX data_keys_in_use ON custody.data_keys (customer_id, period, customer_generation)
    WHERE NOT retired;
CREATE INDEX data_keys_of_customer ON custody.data_keys (customer_id);
CREATE INDEX data_keys_of_bucket ON custody.data_keys (period, slice);

-- Keys of intake and quarantine, wrapped under the KEK of their calendar day.
CREATE TABLE custody.batch_keys (
    key_id uuid PRIMARY KEY,
    batch_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('intake', 'quarantine')),
    day date NOT NULL,
    wrapped bytea NOT NULL,
    UNIQUE (batch_id, kind)
);

-- Keys of consent evidence: kept apart, for evidence outlives the data (PIPL art. 69).
CREATE TABLE custody.consent_keys (
    key_id uuid PRIMARY KEY,
    customer_id uuid NOT NULL UNIQUE,
    wrapped bytea NOT NULL
);
ALTER TABLE custody.data_keys ALTER wrapped SET STATISTICS 0;
ALTER TABLE custody.batch_keys ALTER wrapped SET STATISTICS 0;
ALTER TABLE custody.consent_keys ALTER wrapped SET STATISTICS 0;
"""

_PRIVILEGES = """
GRANT USAGE ON SCHEMA custody TO custody_app;
GRANT SELECT ON custody.alembic_version TO custody_app;
GRANT SELECT, INSERT, UPDATE ON custody.buckets TO custody_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON custody.data_keys TO custody_app;
GRANT SELECT, INSERT, DELETE ON custody.batch_keys, custody.consent_keys TO custody_app;
"""


def upgrade() -> None:
    """Create the tables and the application's privileges."""
    raw = op.get_bind().connection.cursor()
    raw.execute(_TABLES)
    raw.execute(_PRIVILEGES)
