"""The data database: people, consents, sealed records, requests, plans.

The module is long because a schema is read in one piece: what refers to what stands side by side.
"""

from alembic import op

revision = "d0001"
down_revision = None

_INSTALLATION = """
CREATE TABLE custody.installation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    synthetic boolean NOT NULL,
    zone text NOT NULL,
    suite smallint NOT NULL DEFAULT 1
);
CREATE TABLE custody.policy_versions (
    digest text PRIMARY KEY,
    loaded_at timestamptz NOT NULL,
    documents jsonb NOT NULL
);
"""

_CUSTOMERS = """
CREATE TABLE custody.customers (
    id uuid PRIMARY KEY,
    generation integer NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'erased')),
    created_at timestamptz NOT NULL
);
-- An identity tag is a keyed hash of one subject reference; unique, so a person exists once.
CREATE TABLE custody.identity_tags (
    tag bytea PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES custody.customers,
    reference text NOT NULL,
    single boolean NOT NULL,
    suppression bytea NOT NULL,
    epoch smallint NOT NULL
);
CREATE INDEX identity_tags_of_customer ON custody.identity_tags (customer_id);
-- At most one value of a single-valued reference: a second one is a contradiction, never a merge.
CREATE UNIQUE INDEX identity_tags_single ON custody.identity_tags (customer_id, reference)
    WHERE single;
CREATE TABLE custody.suppression_tags (
    tag bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    until_on date NOT NULL
);
CREATE TABLE custody.retention_events (
    customer_id uuid NOT NULL REFERENCES custody.customers,
    event text NOT NULL,
    on_day date NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, event)
);
CREATE TABLE custody.consents (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES custody.customers,
    purpose text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('purpose', 'sensitive', 'recipient', 'guardian')),
    recipient text NOT NULL DEFAULT '',
    given_at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    notice_version text NOT NULL DEFAULT '',
    notice_shown_at timestamptz,
    control_id text NOT NULL DEFAULT '',
    control_initial text NOT NULL DEFAULT '',
    text_digest text NOT NULL DEFAULT '',
    act text NOT NULL DEFAULT '',
    document bytea,
    row_tag bytea NOT NULL UNIQUE,
    batch_id uuid,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX consents_of_customer ON custody.consents (customer_id);
"""

_BATCHES = """
CREATE TABLE custody.batches (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    dataset text NOT NULL,
    purpose text NOT NULL,
    namespace text NOT NULL,
    content_tag bytea NOT NULL,
    location bytea,
    policy_digest text NOT NULL REFERENCES custody.policy_versions,
    state text NOT NULL CHECK (state IN ('open', 'ingested', 'stored', 'reverted')),
    chunks integer NOT NULL,
    opened_at timestamptz NOT NULL,
    opened_by text NOT NULL
);
CREATE UNIQUE INDEX batches_content ON custody.batches (source, content_tag)
    WHERE state <> 'reverted';
CREATE TABLE custody.batch_chunks (
    batch_id uuid NOT NULL REFERENCES custody.batches,
    chunk integer NOT NULL,
    state text NOT NULL CHECK (state IN ('ingested', 'stored')),
    read integer NOT NULL,
    accepted integer NOT NULL,
    refused integer NOT NULL,
    unchanged integer NOT NULL,
    stored integer NOT NULL DEFAULT 0,
    replaced integer NOT NULL DEFAULT 0,
    reasons jsonb NOT NULL,
    warnings jsonb NOT NULL,
    dropped jsonb NOT NULL,
    quality jsonb NOT NULL,
    PRIMARY KEY (batch_id, chunk)
);
CREATE TABLE custody.intake (
    batch_id uuid NOT NULL,
    chunk integer NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (batch_id, chunk)
);
-- Which record keys a batch brought, so that contradicting repeats are found across its chunks.
CREATE TABLE custody.batch_rows (
    batch_id uuid NOT NULL,
    chunk integer NOT NULL,
    row_number integer NOT NULL,
    record_tag bytea NOT NULL,
    content_tag bytea NOT NULL,
    accepted boolean NOT NULL,
    PRIMARY KEY (batch_id, row_number)
);
CREATE INDEX batch_rows_tag ON custody.batch_rows (batch_id, record_tag);
CREATE TABLE custody.quarantine (
    id uuid PRIMARY KEY,
    batch_id uuid NOT NULL,
    chunk integer NOT NULL,
    row_number integer NOT NULL,
    stage text NOT NULL CHECK (stage IN ('ingest', 'store')),
    codes text[] NOT NULL CHECK (cardinality(codes) > 0),
    row_tag bytea NOT NULL,
    sealed bytea,
    state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'retried')),
    held_on date NOT NULL,
    UNIQUE (batch_id, row_number)
);
"""

_RECORDS = """
CREATE TABLE custody.periods (
    name text PRIMARY KEY,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing', 'closed'))
);
-- ends_on stays readable: what is due must be found even where no key can be opened.
CREATE TABLE custody.records (
    period text NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    dataset text NOT NULL,
    purpose text NOT NULL,
    namespace text NOT NULL,
    version integer NOT NULL,
    key_id uuid NOT NULL,
    general bytea,
    sensitive bytea,
    secret bytea,
    ends_on date,
    level_raised boolean NOT NULL DEFAULT false,
    batch_id uuid NOT NULL,
    row_number integer NOT NULL,
    stored_at timestamptz NOT NULL,
    PRIMARY KEY (period, id)
) PARTITION BY LIST (period);
CREATE INDEX records_of_customer ON custody.records (customer_id);
CREATE INDEX records_ends_on ON custody.records (ends_on) WHERE ends_on IS NOT NULL;
-- The way from a record's own key to the one record that carries it.
CREATE TABLE custody.record_keys (
    tag bytea PRIMARY KEY,
    record_id uuid NOT NULL UNIQUE,
    period text NOT NULL,
    customer_id uuid NOT NULL,
    version integer NOT NULL,
    content_tag bytea NOT NULL
);
CREATE TABLE custody.search_index (
    kind text NOT NULL,
    tag bytea NOT NULL,
    record_id uuid NOT NULL,
    customer_id uuid NOT NULL
);
CREATE INDEX search_index_tag ON custody.search_index USING hash (tag);
CREATE INDEX search_index_record ON custody.search_index (record_id);
CREATE TABLE custody.holds (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES custody.customers,
    record_id uuid,
    reason text NOT NULL,
    set_at timestamptz NOT NULL,
    set_by text NOT NULL,
    lifted_at timestamptz,
    lifted_by text
);
CREATE INDEX holds_of_customer ON custody.holds (customer_id) WHERE lifted_at IS NULL;
"""

_PEOPLE = """
CREATE TABLE custody.staff (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    department text NOT NULL,
    role text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'inactive')),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL
);
CREATE TABLE custody.staff_keys (
    kid text PRIMARY KEY,
    staff_id uuid NOT NULL REFERENCES custody.staff,
    public_key bytea NOT NULL UNIQUE,
    enrolled_at timestamptz NOT NULL,
    enrolled_by uuid REFERENCES custody.staff,
    statement text NOT NULL DEFAULT '',
    revoked_at timestamptz
);
CREATE TABLE custody.sessions (
    id uuid PRIMARY KEY,
    staff_id uuid NOT NULL REFERENCES custody.staff,
    kid text NOT NULL REFERENCES custody.staff_keys,
    public_key bytea NOT NULL UNIQUE,
    statement text NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
-- A signed statement is used once; its row may go when the statement itself has expired.
CREATE TABLE custody.burnt_statements (
    jti text PRIMARY KEY,
    until timestamptz NOT NULL
);
"""

_REQUESTS = """
CREATE TABLE custody.requests (
    id uuid PRIMARY KEY,
    revision integer NOT NULL DEFAULT 1,
    kind text NOT NULL CHECK (kind IN ('use', 'transfer', 'destroy')),
    state text NOT NULL CHECK (state IN ('draft', 'filed', 'refused', 'awaiting', 'approved',
                                         'rejected', 'granted', 'delivered')),
    ask text NOT NULL,
    body text NOT NULL,
    digest bytea NOT NULL,
    requester uuid REFERENCES custody.staff,
    statement text NOT NULL,
    filed_at timestamptz NOT NULL,
    decided_at timestamptz,
    policy_digest text NOT NULL REFERENCES custody.policy_versions,
    reasons jsonb NOT NULL DEFAULT '[]',
    announced_at timestamptz,
    -- Nobody's name stands on a draft; a purge the schedule planned has no requester either.
    CHECK (state = 'draft' OR kind = 'destroy' OR (requester IS NOT NULL AND statement <> ''))
);
CREATE INDEX requests_unannounced ON custody.requests (id) WHERE announced_at IS NULL;
CREATE TABLE custody.request_records (
    request_id uuid NOT NULL REFERENCES custody.requests,
    revision integer NOT NULL,
    record_id uuid NOT NULL,
    version integer NOT NULL,
    customer_id uuid NOT NULL,
    PRIMARY KEY (request_id, revision, record_id)
);
CREATE INDEX request_records_of_customer ON custody.request_records (customer_id);
CREATE TABLE custody.votes (
    request_id uuid NOT NULL REFERENCES custody.requests,
    revision integer NOT NULL,
    staff_id uuid NOT NULL REFERENCES custody.staff,
    kid text NOT NULL REFERENCES custody.staff_keys,
    decision text NOT NULL CHECK (decision IN ('approve', 'reject')),
    jti text NOT NULL UNIQUE,
    token text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (request_id, revision, staff_id)
);
CREATE TABLE custody.vote_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staff_id uuid NOT NULL REFERENCES custody.staff,
    at timestamptz NOT NULL,
    code text NOT NULL,
    cleared_at timestamptz
);
CREATE TABLE custody.grants (
    id uuid PRIMARY KEY,
    request_id uuid NOT NULL UNIQUE REFERENCES custody.requests,
    staff_id uuid NOT NULL REFERENCES custody.staff,
    dataset text NOT NULL,
    purpose text NOT NULL,
    fields jsonb NOT NULL,
    until timestamptz NOT NULL,
    granted_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE TABLE custody.deliveries (
    request_id uuid PRIMARY KEY REFERENCES custody.requests,
    delivered_at timestamptz NOT NULL,
    rows integer NOT NULL,
    left_out jsonb NOT NULL,
    package_sha256 text NOT NULL,
    manifest text NOT NULL,
    signature bytea NOT NULL
);
"""

_DESTRUCTION = """
CREATE TABLE custody.plans (
    id uuid PRIMARY KEY,
    as_of date NOT NULL,
    policy_digest text NOT NULL REFERENCES custody.policy_versions,
    data_digest bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'applying', 'applied', 'superseded')),
    summary jsonb NOT NULL,
    request_id uuid REFERENCES custody.requests,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL
);
CREATE TABLE custody.plan_customers (
    plan_id uuid NOT NULL REFERENCES custody.plans,
    chunk integer NOT NULL,
    customer_id uuid NOT NULL,
    generation integer NOT NULL,
    state text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'erasing', 'erased', 'kept')),
    ends_identity boolean NOT NULL DEFAULT false,
    PRIMARY KEY (plan_id, customer_id)
);
CREATE INDEX plan_customers_chunk ON custody.plan_customers (plan_id, chunk);
CREATE TABLE custody.plan_records (
    plan_id uuid NOT NULL REFERENCES custody.plans,
    customer_id uuid NOT NULL,
    record_id uuid NOT NULL,
    version integer NOT NULL,
    dataset text NOT NULL,
    reason text NOT NULL,
    outcome text NOT NULL DEFAULT 'planned'
        CHECK (outcome IN ('planned', 'destroyed', 'held', 'no_longer_due', 'failed')),
    PRIMARY KEY (plan_id, record_id)
);
CREATE INDEX plan_records_of_customer ON custody.plan_records (plan_id, customer_id);
-- Keys that must end: what survives under them is sealed again first. The row is the intent, so a
-- crash between the two databases is finished by whoever comes next.
CREATE TABLE custody.key_endings (
    key_id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason IN ('erased', 'replaced', 'rebased')),
    plan_id uuid,
    decided_at timestamptz NOT NULL
);
CREATE INDEX key_endings_of_customer ON custody.key_endings (customer_id);
CREATE TABLE custody.certificates (
    id uuid PRIMARY KEY,
    plan_id uuid NOT NULL UNIQUE REFERENCES custody.plans,
    body text NOT NULL,
    signature bytea NOT NULL,
    issued_at timestamptz NOT NULL
);
"""

# A wrapped key, a seal or a tag must never reach pg_statistic: ANALYZE would copy it there.
_STATISTICS = """
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT attrelid::regclass AS t, attname
             FROM pg_attribute JOIN pg_class ON oid = attrelid
             WHERE relnamespace = 'custody'::regnamespace AND relkind IN ('r', 'p')
               AND atttypid = 'bytea'::regtype AND attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET STATISTICS 0', c.t, c.attname);
    END LOOP;
END $$;
"""

# The application may not create tables; a new period's partition comes from this function alone.
_PARTITIONS = """
CREATE FUNCTION custody.open_period(wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = custody, pg_temp AS $$
DECLARE partition text := 'records_' || lower(wanted); c text;
BEGIN
    IF wanted !~ '^(open|[0-9]{4}Q[1-4])$' THEN
        RAISE EXCEPTION 'not an expiry period' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('custody.period'));
    IF EXISTS (SELECT FROM custody.periods WHERE name = wanted) THEN
        RETURN;
    END IF;
    -- Made apart and attached: CREATE … PARTITION OF would lock out every reader of the parent.
    EXECUTE pg_catalog.format('CREATE TABLE custody.%I (LIKE custody.records)', partition);
    EXECUTE pg_catalog.format(
        'ALTER TABLE custody.records ATTACH PARTITION custody.%I FOR VALUES IN (%L)',
        partition, wanted);
    FOREACH c IN ARRAY ARRAY['general', 'sensitive', 'secret'] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE custody.%I ALTER %I SET STATISTICS 0', partition, c);
    END LOOP;
    INSERT INTO custody.periods (name) VALUES (wanted);
END $$;
REVOKE ALL ON FUNCTION custody.open_period FROM PUBLIC;
SELECT custody.open_period('open');
"""

# What an act never does, its role may not do: nothing kept as evidence can be deleted or rewritten.
_PRIVILEGES = """
GRANT USAGE ON SCHEMA custody TO custody_app;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA custody TO custody_app;
REVOKE ALL ON custody.alembic_version, custody.records_open FROM custody_app;
GRANT SELECT ON custody.alembic_version TO custody_app;
REVOKE INSERT ON custody.periods FROM custody_app;
GRANT UPDATE ON custody.customers, custody.retention_events, custody.batches, custody.batch_chunks,
    custody.intake, custody.quarantine, custody.records, custody.record_keys, custody.staff,
    custody.staff_keys, custody.sessions, custody.requests, custody.vote_failures, custody.grants,
    custody.plans, custody.plan_customers, custody.plan_records TO custody_app;
-- A consent can be withdrawn and a hold lifted; what they say stays.
GRANT UPDATE (withdrawn_at) ON custody.consents TO custody_app;
GRANT UPDATE (lifted_at, lifted_by) ON custody.holds TO custody_app;
-- Locking a row FOR SHARE asks for the right to update it.
GRANT UPDATE (state) ON custody.periods TO custody_app;
GRANT DELETE ON custody.identity_tags, custody.suppression_tags, custody.intake, custody.batch_rows,
    custody.quarantine, custody.records, custody.record_keys, custody.search_index,
    custody.burnt_statements, custody.key_endings TO custody_app;
GRANT EXECUTE ON FUNCTION custody.open_period TO custody_app;
"""


def upgrade() -> None:
    """Create the tables, the period function and the application's privileges."""
    raw = op.get_bind().connection.cursor()
    for part in (_INSTALLATION, _CUSTOMERS, _BATCHES, _RECORDS, _PEOPLE, _REQUESTS, _DESTRUCTION):
        raw.execute(part)
    raw.execute(_STATISTICS)
    raw.execute(_PARTITIONS)
    raw.execute(_PRIVILEGES)
