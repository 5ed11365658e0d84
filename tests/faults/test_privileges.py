"""What the application's role may not do, and the committed list of what it may (T24, T27)."""

from pathlib import Path

from house import ROOT
from own_databases import Databases
from sqlalchemy import Connection, Engine, text

from custody.database import tree
from custody.database.engine import DatabaseError, make_engine, transaction
from custody.ledger import entry_bytes, walk_tree

MATRIX = ROOT / "docs" / "privileges.txt"
DENIED = "42501"
_BODY = """'{"actor":"","facts":{},"how":"os-user","policy":"","run":""}'"""
LEDGER = ("ledger.entries", "ledger.streams", "ledger.leaves", "ledger.nodes", "ledger.tree")
REFUSED = (
    "UPDATE ledger.entries SET body = body",
    "UPDATE ledger.streams SET in_tree = 0",
    "UPDATE ledger.leaves SET hash = hash",
    "UPDATE ledger.nodes SET hash = hash",
    "UPDATE ledger.tree SET size = 0",
    *(f"DELETE FROM {table}" for table in LEDGER),
    *(f"TRUNCATE {table}" for table in LEDGER),
    *(f"DROP TABLE {table}" for table in LEDGER),
    *(f"ALTER TABLE {table} ADD COLUMN more text" for table in LEDGER),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in LEDGER),
    *(f"LOCK TABLE {table} IN EXCLUSIVE MODE" for table in LEDGER),
    *(f"SELECT * FROM {table} FOR UPDATE" for table in LEDGER),
    (
        "INSERT INTO ledger.entries (seq, stream, number, at, event, body)"
        " VALUES (1, 1, 1, now(), 'a:b', '')"
    ),
    "INSERT INTO ledger.streams (stream, in_tree) VALUES (1, 0)",
    "INSERT INTO ledger.leaves (place, seq, hash) VALUES (0, 1, '')",
    "INSERT INTO ledger.nodes (level, place, hash) VALUES (8, 0, '')",
    "INSERT INTO ledger.tree (size, perfect) VALUES (0, '{}')",
    "SELECT nextval('ledger.order_of_entries')",
    "SELECT setval('ledger.order_of_entries', 1)",
    "ALTER SEQUENCE ledger.order_of_entries RESTART",
    "COPY ledger.entries FROM STDIN",
    "MERGE INTO ledger.tree t USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    "DROP INDEX ledger.entries_event_seq_idx",
    "REINDEX TABLE ledger.entries",
    "CREATE VIEW ledger.another AS SELECT 1",
    "ALTER SCHEMA ledger RENAME TO elsewhere",
    "DROP SCHEMA ledger CASCADE",
    "CREATE TABLE ledger.more (a text)",
    "CREATE TABLE custody.more (a text)",
    "CREATE TABLE public.more (a text)",
    *(
        f"CREATE TEMPORARY TABLE {table.partition('.')[2]} (seq bigint, hash bytea)"
        for table in LEDGER
    ),
    "CREATE TEMPORARY SEQUENCE order_of_entries",
    "CREATE SCHEMA more",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE ROLE more",
    "CREATE FUNCTION custody.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
    (
        "CREATE OR REPLACE FUNCTION ledger.append(new_event text, new_body text) RETURNS bigint"
        " LANGUAGE sql AS 'SELECT 1::bigint'"
    ),
    "ALTER FUNCTION ledger.append SET search_path = public",
    "DROP FUNCTION ledger.append",
    "ALTER FUNCTION ledger.sequence SECURITY INVOKER",
    "DROP FUNCTION ledger.sequence",
    (
        "CREATE OR REPLACE FUNCTION ledger.sequence(most integer) RETURNS integer"
        " LANGUAGE sql AS 'SELECT 0'"
    ),
    "DELETE FROM ledger.entries WHERE seq IN (SELECT ledger.append('a:b', BODY))",
    (
        "CREATE TRIGGER quiet BEFORE INSERT ON ledger.entries"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "CREATE RULE quiet AS ON INSERT TO ledger.entries DO INSTEAD NOTHING",
    "ALTER TABLE custody.records DETACH PARTITION custody.records_open",
    "ALTER TABLE custody.records ALTER general SET STATISTICS 100",
    "TRUNCATE custody.records",
    "INSERT INTO custody.periods (name) VALUES ('2099Q1')",
    "UPDATE custody.installation SET synthetic = true",
    "UPDATE custody.certificates SET body = ''",
    "DELETE FROM custody.votes",
    "DELETE FROM custody.holds",
    "UPDATE custody.holds SET customer_id = gen_random_uuid()",
    "UPDATE custody.consents SET given_at = now()",
    "DELETE FROM custody.consents",
    "DELETE FROM custody.customers",
    "DELETE FROM custody.plan_records",
    "UPDATE custody.identity_tags SET customer_id = gen_random_uuid()",
    "SELECT * FROM custody.records_open",
    "UPDATE custody.policy_versions SET documents = '{}'",
    "DELETE FROM custody.deliveries",
    "SET ROLE custody_owner",
    "SET session_replication_role = replica",
    "ALTER ROLE custody_app SUPERUSER",
    "COPY custody.records TO '/tmp/more'",
    "COPY custody.records TO PROGRAM 'cat'",
    "SELECT pg_read_file('PG_VERSION')",
)
GRANTS = """
    SELECT format('%s %s.%s %s', kind, nspname, name, string_agg(privilege, ',' ORDER BY privilege))
    FROM (
        SELECT 'table' AS kind, relnamespace AS space, relname AS name, privilege_type AS privilege
        FROM pg_class, aclexplode(relacl) WHERE grantee = 'custody_app'::regrole AND relkind <> 'S'
        UNION ALL
        SELECT 'table', relnamespace, relname, privilege_type || '(' || attname || ')'
        FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid, aclexplode(attacl)
        WHERE grantee = 'custody_app'::regrole
        UNION ALL
        SELECT 'sequence', relnamespace, relname, privilege_type
        FROM pg_class, aclexplode(relacl) WHERE grantee = 'custody_app'::regrole AND relkind = 'S'
        UNION ALL
        SELECT 'function', pronamespace, proname, privilege_type
        FROM pg_proc, aclexplode(proacl) WHERE grantee = 'custody_app'::regrole
        UNION ALL
        SELECT 'schema', oid, '', privilege_type
        FROM pg_namespace, aclexplode(nspacl) WHERE grantee = 'custody_app'::regrole
    ) granted JOIN pg_namespace n ON n.oid = space GROUP BY kind, nspname, name ORDER BY 1
"""
TO_EVERYBODY = """
    SELECT format('%s.%s', nspname, proname) FROM pg_proc p JOIN pg_namespace n
        ON n.oid = pronamespace
    WHERE nspname IN ('custody', 'ledger') AND (proacl IS NULL
        OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0))
    UNION ALL
    SELECT format('%s.%s', nspname, relname) FROM pg_class JOIN pg_namespace n
        ON n.oid = relnamespace, aclexplode(relacl)
    WHERE nspname IN ('custody', 'ledger') AND grantee = 0
"""


def refused_with(url: str, statement: str) -> str:
    """Return the SQLSTATE a statement is refused with, empty where it is not.

    ``BODY`` stands for the body of an entry.
    """
    statement = statement.replace("BODY", _BODY)
    engine = make_engine(url)
    try:
        with transaction(engine) as connection:
            connection.exec_driver_sql(statement)
    except DatabaseError as error:
        return error.sqlstate
    finally:
        engine.dispose()
    return ""


def test_the_application_is_refused(databases: Databases) -> None:
    answers = {statement: refused_with(databases.app_url, statement) for statement in REFUSED}
    assert {s: answer for s, answer in answers.items() if answer != DENIED} == {}


def test_the_owner_would_not_be(databases: Databases) -> None:
    """The control: they are refused for want of a privilege, not for a slip of the pen."""
    mine = [s for s in REFUSED if s.startswith(("UPDATE", "DELETE", "TRUNCATE", "ALTER TABLE l"))]
    assert len(mine) > 8
    assert [s for s in mine if refused_with(databases.owner_url, s) == DENIED] == []


# What it may do, or is refused for another reason, and how many entries come of it; nothing else.
HARMLESS = {
    "SELECT ledger.append('a:b', NULL)": 0,
    "SELECT ledger.append(NULL, '{}')": 0,
    "SELECT ledger.append('a:b; DROP TABLE ledger.entries', '{}')": 0,
    "SELECT ledger.append('a:b', '{}')": 0,
    "SELECT ledger.append('a:b', BODY, ''::bytea)": 0,
    "SELECT ledger.append('a:b', BODY, sha256('')::bytea)": 0,
    "SELECT ledger.append('a:b', replace(BODY, '{}', '[]'))": 0,
    "SELECT ledger.append('a:b', replace(BODY, '{}', '1'))": 0,
    "SELECT ledger.append('a:b', replace(BODY, 'os-user', '\"'))": 0,
    "SELECT ledger.append('a:b', '[]')": 0,
    "SELECT ledger.append('a:b', 'null')": 0,
    "SELECT ledger.append('a:b', BODY) FROM generate_series(1, 3)": 3,
    "SELECT ledger.sequence(-1)": 0,
    "SELECT ledger.sequence(NULL)": 0,
    "SELECT ledger.sequence(2147483647)": 0,
    "SET search_path = pg_temp; SELECT ledger.append('a:b', BODY)": 1,
    "SET LOCAL standard_conforming_strings = off; SELECT ledger.append('a:b', BODY)": 1,
    "SET LOCAL bytea_output = escape; SELECT ledger.sequence(10)": 0,
    "SET LOCAL DateStyle = German; SELECT ledger.append('a:b', BODY)": 1,
    "SET LOCAL TimeZone = 'Asia/Kathmandu'; SELECT ledger.append('a:b', BODY)": 1,
    "SET LOCAL lc_numeric = 'C'; SELECT ledger.sequence(10)": 0,
    "SET LOCAL transaction_isolation = serializable; SELECT ledger.append('a:b', BODY)": 1,
    "SELECT pg_advisory_lock(1818584167, n) FROM generate_series(0, 40) n": 0,
    "SELECT pg_advisory_lock(1818584167, 0); SELECT ledger.append('a:b', BODY)": 1,
    "SELECT pg_terminate_backend(pg_backend_pid())": 0,
    "DO $$ BEGIN PERFORM ledger.append('a:b', BODY); RAISE division_by_zero; END $$": 0,
    "GRANT UPDATE ON ledger.entries TO custody_app": 0,
    "ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT ALL ON TABLES TO custody_app": 0,
}


def test_what_is_not_refused_is_harmless(databases: Databases) -> None:
    """What stood in the ledger stands there still, in one tree that verifies."""
    engine = make_engine(databases.owner_url)
    assert refused_with(databases.app_url, "SELECT ledger.append('test:entry:made', BODY)") == ""
    before = _standing(engine)
    grants = live_grants(databases)
    for statement, more in HARMLESS.items():
        refused_with(databases.app_url, statement)
        after = _standing(engine)
        assert after[: len(before)] == before, statement
        assert len(after) == len(before) + more, statement
        before = after
    engine.dispose()
    assert live_grants(databases) == grants


def _standing(engine: Engine) -> list[tuple[bytes, bytes]]:
    """Return every entry with its leaf, after all have their places and the tree was walked."""
    with transaction(engine) as connection:
        # A session that has just left may hold the tree for a moment still.
        connection.execute(text("SELECT pg_advisory_xact_lock(1818584167, 0)"))
        while tree.sequence(connection):
            pass
        head = tree.tree_head(connection)
        leaves = list(tree.read_leaves(connection, head.size))
        assert walk_tree(leaves, ()).tree.head() == head
        assert tree.waiting(connection).entries == 0
        assert tree.count_entries(connection) == head.size
    return [(one.hash, entry_bytes(one.entry)) for one in leaves if one.entry]


def test_temporary_tables_do_not_hijack_the_ledger(databases: Databases) -> None:
    """Even where somebody was allowed temporary tables, the functions look past them."""
    engine = make_engine(databases.owner_url)
    with transaction(engine) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"GRANT TEMPORARY ON DATABASE {name} TO custody_app"))
    app = make_engine(databases.app_url)
    with transaction(app) as connection:
        for table in LEDGER:
            columns = f"CREATE TEMPORARY TABLE {table.partition('.')[2]} (LIKE {table})"
            connection.execute(text(columns))
        for statement in (
            "INSERT INTO pg_temp.tree VALUES (true, 41, '{}')",
            "INSERT INTO pg_temp.streams VALUES (1, 7)",
            "CREATE TEMPORARY SEQUENCE order_of_entries START 900",
            ("CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'"),
            "SET search_path = pg_temp, ledger, custody",
        ):
            connection.execute(text(statement))
        number = connection.exec_driver_sql(f"SELECT ledger.append('test:entry:made', {_BODY})")
        assert number.scalar_one() == 1
        assert connection.execute(text("SELECT ledger.sequence(10)")).scalar_one() == 1
        assert _count(connection, "ledger.entries") == 1
        assert _count(connection, "pg_temp.entries") == _count(connection, "pg_temp.leaves") == 0
    app.dispose()
    assert len(_standing(engine)) == 1
    engine.dispose()


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def live_grants(databases: Databases) -> str:
    """Return what the application may do, one line for each thing, as it is committed."""
    lines = []
    for name, url in (("data", databases.owner_url), ("keys", databases.keys_owner_url)):
        engine = make_engine(url)
        with transaction(engine) as connection:
            lines += [f"{name} {row[0]}" for row in connection.execute(text(GRANTS))]
            assert list(connection.execute(text(TO_EVERYBODY))) == []
        engine.dispose()
    return "\n".join(lines) + "\n"


def test_the_live_grants_are_the_committed_ones(databases: Databases, tmp_path: Path) -> None:
    live = live_grants(databases)
    (tmp_path / MATRIX.name).write_text(live, encoding="utf-8")
    said = [line for line in MATRIX.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert said == live.splitlines(), f"if this is meant, take over {tmp_path / MATRIX.name}"


def test_the_application_is_nobody_special(databases: Databases) -> None:
    engine = make_engine(databases.app_url)
    with transaction(engine) as connection:
        role = connection.execute(
            text(
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,"
                " (SELECT count(*) FROM pg_auth_members WHERE member = r.oid)"
                " FROM pg_roles r WHERE rolname = current_user"
            )
        ).one()
    engine.dispose()
    assert tuple(role) == (False, 0)
