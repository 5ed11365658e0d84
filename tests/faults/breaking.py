"""The ledger broken in four ways, by whoever owns the server; and everything else, to compare."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256

import psycopg
from own_databases import Databases
from sqlalchemy.engine import make_url

from custody.embedded.postgres import EmbeddedPostgres

Broken = Callable[[EmbeddedPostgres, Databases], AbstractContextManager[None]]
_LOCK_SECONDS = 20


def _name(databases: Databases) -> str:
    return str(make_url(databases.owner_url).database)


@contextmanager
def _by(server: EmbeddedPostgres, databases: Databases, do: str, undo: str) -> Iterator[None]:
    admin = server.admin_conninfo(_name(databases))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(do)
    try:
        yield
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(undo)


def revoked(server: EmbeddedPostgres, databases: Databases) -> AbstractContextManager[None]:
    """Take the right to append away."""
    right = "EXECUTE ON FUNCTION ledger.append"
    return _by(
        server,
        databases,
        f"REVOKE {right} FROM custody_app",
        f"GRANT {right} TO custody_app",
    )


@contextmanager
def locked(server: EmbeddedPostgres, databases: Databases) -> Iterator[None]:
    """Hold the table against writing, where nobody waits for a lock for long."""
    name = _name(databases)
    role = f"ALTER ROLE custody_app IN DATABASE {name}"
    with (
        _by(server, databases, f"{role} SET lock_timeout = '300ms'", f"{role} RESET lock_timeout"),
        psycopg.connect(server.admin_conninfo(name)) as holder,
    ):
        holder.execute("LOCK TABLE ledger.entries IN EXCLUSIVE MODE")
        yield
        holder.rollback()


def _triggered(statement: str) -> Broken:
    def broken(server: EmbeddedPostgres, databases: Databases) -> AbstractContextManager[None]:
        return _by(
            server,
            databases,
            "CREATE FUNCTION public.break_it() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
            f" AS $$ BEGIN {statement}; RETURN NEW; END $$;"
            " CREATE TRIGGER break_it BEFORE INSERT ON ledger.entries"
            " FOR EACH ROW EXECUTE FUNCTION public.break_it()",
            "DROP TRIGGER break_it ON ledger.entries; DROP FUNCTION public.break_it()",
        )

    return broken


def tree_gone(server: EmbeddedPostgres, databases: Databases) -> AbstractContextManager[None]:
    """Take the tree away, in which what is written is to stand."""
    return _by(
        server,
        databases,
        "CREATE TABLE public.kept AS TABLE ledger.tree; TRUNCATE ledger.tree",
        "INSERT INTO ledger.tree TABLE public.kept; DROP TABLE public.kept",
    )


def stream_gone(server: EmbeddedPostgres, databases: Databases) -> AbstractContextManager[None]:
    """Take away the streams in which what is written is numbered."""
    return _by(
        server,
        databases,
        "CREATE TABLE public.kept AS TABLE ledger.streams; TRUNCATE ledger.streams",
        "INSERT INTO ledger.streams TABLE public.kept; DROP TABLE public.kept",
    )


WAYS: Mapping[str, Broken] = {
    "tree gone": tree_gone,
    "stream gone": stream_gone,
    "privilege revoked": revoked,
    "lock timeout": locked,
    "connection cut": _triggered("PERFORM pg_terminate_backend(pg_backend_pid())"),
    "disk full": _triggered("RAISE disk_full"),
}


def everything_in(server: EmbeddedPostgres, databases: Databases) -> dict[str, str]:
    """Return the digest of every table of the data database, the ledger's too."""
    found = {}
    with psycopg.connect(server.admin_conninfo(_name(databases))) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('custody', 'ledger') AND tablename <> 'alembic_version'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM ONLY {table} t ORDER BY 1").fetchall()
            found[table] = sha256(repr(rows).encode()).hexdigest()
    return found


def in_a_thread(act: Callable[[], object]) -> BaseException | None:
    """Return what an act raised; one that waits for ever fails the test."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the test judges it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_LOCK_SECONDS)
    assert not thread.is_alive(), "it waits for the ledger"
    return raised[0] if raised else None
