"""Make the roles and databases of a new cluster.

Nobody but the admin is a superuser, and the admin is used for nothing else. The application may
neither create objects nor temporary tables (a temporary table could hijack a function of the
ledger), and PUBLIC may not even connect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from custody.embedded.endpoints import DATA, KEYS, PREFECT, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One database, who owns it and who else may connect."""

    name: str
    owner: Role
    guests: tuple[Role, ...] = ()
    extensions: tuple[str, ...] = ()


PLANS = (
    Plan(name=DATA, owner=Role.OWNER, guests=(Role.APP,)),
    Plan(name=KEYS, owner=Role.OWNER, guests=(Role.APP,)),
    Plan(name=PREFECT, owner=Role.PREFECT, extensions=("pg_trgm",)),
)


def provision(admin: Callable[[str], str], passwords: Mapping[Role, str]) -> None:
    """Make what is missing; running it again changes nothing.

    Args:
        admin: Returns how the admin connects to a database (a conninfo).
        passwords: The passwords of the other roles.
    """
    with psycopg.connect(admin("postgres"), autocommit=True) as connection:
        for role, password in passwords.items():
            _make_role(connection, role, password)
        for plan in PLANS:
            _make_database(connection, plan)
    for plan in PLANS:
        with psycopg.connect(admin(plan.name), autocommit=True) as connection:
            for extension in plan.extensions:
                connection.execute(
                    sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension))
                )


def _make_role(connection: psycopg.Connection, role: Role, password: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.value]).fetchone():
        return
    # Only the verifier travels, so not even a statement log could hold the password.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.value.encode(), b"scram-sha-256"
    )
    statement = sql.SQL(
        "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION"
        " NOBYPASSRLS PASSWORD {}"
    )
    connection.execute(statement.format(sql.Identifier(role.value), verifier.decode()))


def _make_database(connection: psycopg.Connection, plan: Plan) -> None:
    name = sql.Identifier(plan.name)
    known = "SELECT 1 FROM pg_database WHERE datname = %s"
    if not connection.execute(known, [plan.name]).fetchone():
        create = sql.SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(create.format(name, sql.Identifier(plan.owner.value)))
    close_database(connection, plan)


def close_database(connection: psycopg.Connection, plan: Plan) -> None:
    """Let only the owner and the guests connect, and the guests do nothing else."""
    name = sql.Identifier(plan.name)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    for guest in plan.guests:
        grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
        connection.execute(grant.format(name, sql.Identifier(guest.value)))
