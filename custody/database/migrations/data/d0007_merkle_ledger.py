"""The ledger as a Merkle tree, whose writers do not wait for each other.

``append`` writes an entry at the end of a stream that nobody else writes at the moment: the first
whose advisory lock is free. The lock ends with the transaction, after its commit is seen, so the
numbers of a stream have no gaps. ``sequence`` gives what is committed its place in the tree, one
caller at a time; others go on without. Both hold what they changed or added until the act's commit.

The tree keeps the hashes of leaves, the heads of whole tiles of 256 leaves and of 256 tiles, and
the perfect subtrees of its right edge by level (``perfect[1]`` is a single leaf, NULL where none).
"""

from alembic import op

from custody.errors import UsageError

revision = "d0007"
down_revision = "d0006"

_TABLES = """
DROP SCHEMA ledger CASCADE;
CREATE SCHEMA ledger;
CREATE SEQUENCE ledger.order_of_entries;
CREATE TABLE ledger.entries (
    seq bigint PRIMARY KEY,
    stream integer NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    event text NOT NULL CHECK (event ~ '^[a-z_]+(:[a-z_]+){1,2}$'),
    body text NOT NULL,
    UNIQUE (stream, number)
);
CREATE INDEX ON ledger.entries (event, seq);
CREATE TABLE ledger.parts (
    seq bigint PRIMARY KEY,
    leaves bytea NOT NULL CHECK (octet_length(leaves) > 0 AND octet_length(leaves) % 32 = 0)
);
ALTER TABLE ledger.parts ALTER leaves SET STORAGE EXTERNAL, ALTER leaves SET STATISTICS 0;
CREATE TABLE ledger.streams (
    stream integer PRIMARY KEY,
    in_tree bigint NOT NULL
);
CREATE TABLE ledger.leaves (
    place bigint PRIMARY KEY,
    seq bigint NOT NULL UNIQUE,
    hash bytea NOT NULL
);
CREATE TABLE ledger.nodes (
    level smallint NOT NULL,
    place bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (level, place)
);
CREATE TABLE ledger.tree (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    size bigint NOT NULL,
    perfect bytea[] NOT NULL
);
INSERT INTO ledger.tree (size, perfect) VALUES (0, '{}');
"""

# pg_temp comes last and every name is qualified: otherwise a temporary table hijacks the function.
# Advisory locks of class 1818584167 ("ledg"): 0 is the tree's, n that of stream n.
_SEQUENCE = """
CREATE FUNCTION ledger.sequence(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
    tree record;
    entry record;
    edge bytea[];
    place bigint;
    head bytea;
    level integer;
    reached bigint[];
BEGIN
    IF NOT pg_catalog.pg_try_advisory_xact_lock(1818584167, 0) THEN
        RETURN 0;
    END IF;
    SELECT t.size, t.perfect INTO STRICT tree FROM ledger.tree t FOR UPDATE;
    place := tree.size;
    edge := tree.perfect;
    FOR entry IN
        SELECT e.* FROM ledger.streams s CROSS JOIN LATERAL (
            SELECT n.* FROM ledger.entries n WHERE n.stream = s.stream AND n.number > s.in_tree
            ORDER BY n.number LIMIT most
        ) e ORDER BY e.seq LIMIT most
    LOOP
        head := pg_catalog.sha256('\\x00'::bytea || pg_catalog.convert_to(
            '{"at":' || (extract(epoch FROM entry.at) * 1000000)::bigint
            || ',"body":' || entry.body || ',"event":"' || entry.event
            || '","number":' || entry.number || ',"seq":' || entry.seq
            || ',"stream":' || entry.stream || ',"v":1}', 'UTF8'));
        INSERT INTO ledger.leaves (place, seq, hash) VALUES (place, entry.seq, head);
        reached[entry.stream] := entry.number;
        level := 0;
        WHILE (place >> level) & 1 = 1 LOOP
            head := pg_catalog.sha256('\\x01'::bytea || edge[level + 1] || head);
            edge[level + 1] := NULL;
            level := level + 1;
            IF level % 8 = 0 THEN
                INSERT INTO ledger.nodes (level, place, hash) VALUES (level, place >> level, head);
            END IF;
        END LOOP;
        edge[level + 1] := head;
        place := place + 1;
    END LOOP;
    IF place > tree.size THEN
        UPDATE ledger.tree t SET size = place, perfect = edge;
        UPDATE ledger.streams s SET in_tree = reached[s.stream]
            WHERE reached[s.stream] IS NOT NULL;
    END IF;
    RETURN place - tree.size;
END $$;
REVOKE ALL ON FUNCTION ledger.sequence FROM PUBLIC;
"""

# A sequencer, the end of each command and of each run give entries their places. Where none comes
# by for long, a writer does, so that the tree follows and no writer has much to do.
_APPEND = """
CREATE FUNCTION ledger.append(
    new_event text, new_body text, new_parts bytea DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
    own integer := 1;
    there record;
    new_seq bigint;
    said jsonb := new_body::jsonb;
BEGIN
    IF NOT said ?& '{actor,facts,how,policy,run}'::text[]
        OR said - '{actor,facts,how,policy,run}'::text[] <> '{}'
        OR pg_catalog.jsonb_typeof(said -> 'facts') <> 'object'
        OR pg_catalog.jsonb_typeof(said -> 'actor') <> 'string'
        OR pg_catalog.jsonb_typeof(said -> 'how') <> 'string'
        OR pg_catalog.jsonb_typeof(said -> 'policy') <> 'string'
        OR pg_catalog.jsonb_typeof(said -> 'run') <> 'string'
        OR COALESCE(32 * (said #>> '{facts,parts,count}')::bigint, 0)
            <> COALESCE(pg_catalog.octet_length(new_parts), 0)
    THEN
        RAISE check_violation USING MESSAGE = 'not the body of an entry';
    END IF;
    -- Only who may remove entries says that some were.
    IF new_event = 'ledger:entries:retired'
        AND NOT pg_catalog.pg_has_role(session_user, current_user, 'MEMBER')
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'not the owner of the ledger';
    END IF;
    WHILE NOT pg_catalog.pg_try_advisory_xact_lock(1818584167, own) LOOP
        own := own + 1;
        IF own > 10000 THEN
            RAISE lock_not_available USING MESSAGE = 'no stream is free';
        END IF;
    END LOOP;
    -- Without a tree to stand in one day, nothing is written. Any leaf will do: to look for the
    -- last would read all of them by a plan made while there were few.
    SELECT s.in_tree, t.size = 0 OR EXISTS (SELECT FROM ledger.leaves l WHERE l.place < t.size)
            AS is_whole,
        -- Of a stream whose every entry was retired, the tree knows where it stands.
        COALESCE((SELECT e.number FROM ledger.entries e WHERE e.stream = own
            ORDER BY e.number DESC LIMIT 1), s.in_tree) AS last
        INTO STRICT there
        FROM ledger.tree t LEFT JOIN ledger.streams s ON s.stream = own;
    IF NOT there.is_whole OR (there.last IS NULL) <> (there.in_tree IS NULL)
        OR there.in_tree > there.last
    THEN
        RAISE no_data_found USING MESSAGE = 'the tree is gone';
    END IF;
    IF there.last IS NULL THEN
        there.last := 0;
        INSERT INTO ledger.streams (stream, in_tree) VALUES (own, 0);
    END IF;
    INSERT INTO ledger.entries (seq, stream, number, at, event, body) VALUES (
        pg_catalog.nextval('ledger.order_of_entries'), own, there.last + 1,
        pg_catalog.clock_timestamp(), new_event, new_body
    ) RETURNING seq INTO new_seq;
    IF new_parts IS NOT NULL THEN
        INSERT INTO ledger.parts (seq, leaves) VALUES (new_seq, new_parts);
    END IF;
    IF there.last - there.in_tree >= 512 AND there.last % 64 = 0 THEN
        PERFORM ledger.sequence(1024);
    END IF;
    RETURN new_seq;
END $$;
REVOKE ALL ON FUNCTION ledger.append FROM PUBLIC;
"""

_PRIVILEGES = """
GRANT USAGE ON SCHEMA ledger TO custody_app;
GRANT SELECT ON ledger.entries, ledger.parts, ledger.streams, ledger.leaves, ledger.nodes,
    ledger.tree TO custody_app;
GRANT EXECUTE ON FUNCTION ledger.append, ledger.sequence TO custody_app;
"""


def upgrade() -> None:
    """Put the tree in the place of the chain.

    Raises:
        UsageError: The chain has entries: they cannot be hashed again as what they were.
    """
    raw = op.get_bind().connection.cursor()
    if raw.execute("SELECT FROM ledger.entries LIMIT 1").fetchone() is not None:
        raise UsageError("the ledger of an earlier version cannot be taken over; begin a new home")
    for part in (_TABLES, _SEQUENCE, _APPEND, _PRIVILEGES):
        raw.execute(part)
