"""The ledger, first form: a hash chain that the application can only append to.

Entry ``n`` has ``hash = SHA-256(previous hash ‖ "n|microseconds since 1970|event|body")``; the hash
before the first is 32 zero bytes.
"""

from alembic import op

revision = "d0002"
down_revision = "d0001"

_TABLES = """
CREATE SCHEMA ledger;
CREATE TABLE ledger.entries (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    event text NOT NULL CHECK (event ~ '^[a-z_]+(:[a-z_]+){1,2}$'),
    body text NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE TABLE ledger.head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seq bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO ledger.head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
"""

# pg_temp comes last and every name is qualified: otherwise a temporary table hijacks the function.
_APPEND = """
CREATE FUNCTION ledger.append(new_event text, new_body text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
    last record;
    now_at timestamptz;
    line text;
    new_hash bytea;
BEGIN
    SELECT h.seq, h.hash INTO STRICT last FROM ledger.head h FOR UPDATE;
    now_at := pg_catalog.clock_timestamp();
    line := (last.seq + 1) || '|' || (extract(epoch FROM now_at) * 1000000)::bigint
        || '|' || new_event || '|' || new_body;
    new_hash := pg_catalog.sha256(last.hash || pg_catalog.convert_to(line, 'UTF8'));
    INSERT INTO ledger.entries (seq, at, event, body, previous, hash)
        VALUES (last.seq + 1, now_at, new_event, new_body, last.hash, new_hash);
    UPDATE ledger.head SET seq = last.seq + 1, hash = new_hash;
    RETURN last.seq + 1;
END $$;
REVOKE ALL ON FUNCTION ledger.append FROM PUBLIC;
"""

_PRIVILEGES = """
GRANT USAGE ON SCHEMA ledger TO custody_app;
GRANT SELECT ON ledger.entries, ledger.head TO custody_app;
GRANT EXECUTE ON FUNCTION ledger.append TO custody_app;
"""


def upgrade() -> None:
    """Create the ledger, its one way in, and the right to use it."""
    raw = op.get_bind().connection.cursor()
    for part in (_TABLES, _APPEND, _PRIVILEGES):
        raw.execute(part)
