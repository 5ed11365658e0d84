"""Examine the two databases: versions, roles, and settings that could put values into a log."""

from collections.abc import Iterator, Mapping

import psycopg
from psycopg import sql

from custody.embedded.finding import Finding, Status, unreachable

OLDEST_POSTGRES = 15
LIBPQ_SCHEME = "postgresql://"
SQLALCHEMY_SCHEME = "postgresql+psycopg://"
CONNECT_SECONDS = 5
# Values of customers reach a server's log only through these (threats T4).
LOG_SETTINGS: Mapping[str, frozenset[str]] = {
    "log_statement": frozenset({"none", "ddl"}),
    "log_parameter_max_length": frozenset({"0"}),
    "log_parameter_max_length_on_error": frozenset({"0"}),
    "log_min_error_statement": frozenset({"panic", "fatal", "log"}),
    "log_error_verbosity": frozenset({"terse"}),
    "log_min_duration_statement": frozenset({"-1"}),
}
POWERS = (
    "superuser",
    "may make roles",
    "may make databases",
    "owns the database",
    "may make schemas",
    "may make temporary tables",
)


def examine_databases(database_url: str | None, keys_url: str | None) -> Iterator[Finding]:
    """Check both databases, and that they are two."""
    identities = []
    for name, url in (("data database", database_url), ("key database", keys_url)):
        if url is None:
            yield Finding(
                name=name, status=Status.WARN, detail="not running", next_step="custody up"
            )
            continue
        try:
            with _connect(url) as connection:
                identities.append(_identity(connection))
                yield from _examine_server(name, connection)
        except psycopg.Error:
            yield unreachable(name)
    if len(identities) > len(set(identities)):
        yield Finding(
            name="key database",
            status=Status.FAIL,
            detail="is the data database",
            next_step="give the keys a database of their own with its own backups",
        )


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(
        url.replace(SQLALCHEMY_SCHEME, LIBPQ_SCHEME), connect_timeout=CONNECT_SECONDS
    )


def _identity(connection: psycopg.Connection) -> tuple[object, ...]:
    """Return what tells one database from another, wherever it is reached."""
    row = connection.execute(
        "SELECT current_database(), pg_postmaster_start_time(), inet_server_port()"
    ).fetchone()
    return row or ()


def _examine_server(name: str, connection: psycopg.Connection) -> Iterator[Finding]:
    release = connection.info.server_version // 10_000
    recent = release >= OLDEST_POSTGRES
    yield Finding(
        name=name,
        status=Status.OK if recent else Status.FAIL,
        detail=f"PostgreSQL {release}, role {connection.info.user}",
        next_step="" if recent else f"use PostgreSQL {OLDEST_POSTGRES} or later",
    )
    yield from _examine_role(name, connection)
    if _show(connection, "data_checksums") != "on":
        yield Finding(
            name=name,
            status=Status.WARN,
            detail="data checksums are off",
            next_step="stop the server and run pg_checksums --enable",
        )
    yield from _examine_log(name, connection)


def _examine_role(name: str, connection: psycopg.Connection) -> Iterator[Finding]:
    """The application may neither be a superuser nor own or make anything."""
    row = connection.execute(
        "SELECT r.rolsuper, r.rolcreaterole, r.rolcreatedb, d.datdba = r.oid,"
        " has_database_privilege(d.oid, 'CREATE'), has_database_privilege(d.oid, 'TEMPORARY')"
        " FROM pg_roles r, pg_database d"
        " WHERE r.rolname = current_user AND d.datname = current_database()"
    ).fetchone()
    for power, held in zip(POWERS, row or (), strict=False):
        if held:
            yield Finding(
                name=name,
                status=Status.FAIL,
                detail=f"its role is too wide: {power}",
                next_step="connect as custody_app and REVOKE the rest (docs/settings.md)",
            )


def _examine_log(name: str, connection: psycopg.Connection) -> Iterator[Finding]:
    for setting, allowed in LOG_SETTINGS.items():
        found = _show(connection, setting)
        if found not in allowed:
            yield Finding(
                name=name,
                status=Status.WARN,
                detail=f"{setting} is {found}: values can reach the server's log",
                next_step=f"ALTER SYSTEM SET {setting} = '{max(allowed)}'",
            )


def _show(connection: psycopg.Connection, setting: str) -> str:
    row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone()
    return str(row[0]) if row else ""
