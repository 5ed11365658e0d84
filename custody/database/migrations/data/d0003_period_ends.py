"""The end of an expiry period: its partition goes, and it admits nothing ever again."""

from alembic import op

revision = "d0003"
down_revision = "d0002"

# The application may not drop tables; an empty, closing period's partition goes by this alone.
_END_PERIOD = """
CREATE FUNCTION custody.end_period(wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = custody, pg_temp AS $$
DECLARE partition text := 'records_' || lower(wanted); is_left boolean; found text;
BEGIN
    IF wanted !~ '^[0-9]{4}Q[1-4]$' THEN
        RAISE EXCEPTION 'not an expiry period' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT p.state INTO found FROM custody.periods p WHERE p.name = wanted FOR UPDATE;
    IF found IS DISTINCT FROM 'closing' THEN
        RAISE EXCEPTION 'the period is not closing' USING ERRCODE = '55000';
    END IF;
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM custody.%I)', partition) INTO is_left;
    IF is_left THEN
        RAISE EXCEPTION 'the period is not empty' USING ERRCODE = '55000';
    END IF;
    EXECUTE pg_catalog.format('DROP TABLE custody.%I', partition);
    UPDATE custody.periods SET state = 'closed' WHERE name = wanted;
END $$;
REVOKE ALL ON FUNCTION custody.end_period FROM PUBLIC;
GRANT EXECUTE ON FUNCTION custody.end_period TO custody_app;
-- The document of a consent is sealed again when the suite changes.
GRANT UPDATE (document) ON custody.consents TO custody_app;
"""


def upgrade() -> None:
    """Add the function."""
    op.get_bind().connection.cursor().execute(_END_PERIOD)
