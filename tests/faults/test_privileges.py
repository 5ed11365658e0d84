"""What the application's role may not do, and the committed list of what it may (T24, T27)."""

from pathlib import Path

from house import ROOT
from own_databases import Databases
from sqlalchemy import Connection, text

from custody.database.engine import DatabaseError, make_engine, transaction

MATRIX = ROOT / "docs" / "privileges.txt"
DENIED = "42501"
LEDGER = ("ledger.entries", "ledger.head")
REFUSED = (
    *(f"UPDATE {table} SET seq = seq" for table in LEDGER),
    *(f"DELETE FROM {table}" for table in LEDGER),
    *(f"TRUNCATE {table}" for table in LEDGER),
    *(f"DROP TABLE {table}" for table in LEDGER),
    *(f"ALTER TABLE {table} ADD COLUMN more text" for table in LEDGER),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in LEDGER),
    *(f"LOCK TABLE {table} IN EXCLUSIVE MODE" for table in LEDGER),
    "SELECT * FROM ledger.head FOR UPDATE",
    (
        "INSERT INTO ledger.entries (seq, at, event, body, previous, hash)"
        " VALUES (1, now(), 'a:b', '', '', '')"
    ),
    "INSERT INTO ledger.head (seq, hash) VALUES (0, '')",
    "CREATE TABLE ledger.more (a text)",
    "CREATE TABLE custody.more (a text)",
    "CREATE TABLE public.more (a text)",
    "CREATE TEMPORARY TABLE head (seq bigint, hash bytea)",
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
    """Return the SQLSTATE a statement is refused with, empty where it is not."""
    engine = make_engine(url)
    try:
        with transaction(engine) as connection:
            connection.execute(text(statement))
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


def test_a_temporary_table_does_not_hijack_the_ledger(databases: Databases) -> None:
    """Even where somebody was allowed temporary tables, the function looks past them."""
    engine = make_engine(databases.owner_url)
    with transaction(engine) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"GRANT TEMPORARY ON DATABASE {name} TO custody_app"))
    engine.dispose()
    engine = make_engine(databases.app_url)
    with transaction(engine) as connection:
        for statement in (
            "CREATE TEMPORARY TABLE head (only_one boolean, seq bigint, hash bytea)",
            (
                "CREATE TEMPORARY TABLE entries (seq bigint, at timestamptz, event text, body text,"
                " previous bytea, hash bytea)"
            ),
            "INSERT INTO head VALUES (true, 41, '')",
            "SET search_path = pg_temp, ledger, custody",
        ):
            connection.execute(text(statement))
        number = connection.execute(text("SELECT ledger.append('test:entry:made', '{}')"))
        assert number.scalar_one() == 1
        assert _count(connection, "ledger.entries") == 1
        assert _count(connection, "pg_temp.entries") == 0
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
