"""Databases of a test's own: made from a template, dropped at the end."""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from custody.embedded.endpoints import Endpoints, Role
from custody.embedded.postgres import EmbeddedPostgres
from custody.embedded.provision import Plan, close_database

TEMPLATE_DATA = "template_data"
TEMPLATE_KEYS = "template_keys"


@dataclass(frozen=True, kw_only=True, slots=True)
class Databases:
    """One test's own data and key database, named as in ``Endpoints``."""

    owner_url: str
    app_url: str
    keys_owner_url: str
    keys_url: str


def urls_of(where: Endpoints, data: str, keys: str) -> Databases:
    return Databases(
        owner_url=where.url(Role.OWNER, data),
        app_url=where.url(Role.APP, data),
        keys_owner_url=where.url(Role.OWNER, keys),
        keys_url=where.url(Role.APP, keys),
    )


def _admin(server: EmbeddedPostgres) -> psycopg.Connection:
    return psycopg.connect(server.admin_conninfo("postgres"), autocommit=True)


def create_database(server: EmbeddedPostgres, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
        sql.Identifier(name), sql.Identifier(template), sql.Identifier(Role.OWNER.value)
    )
    with _admin(server) as connection:
        connection.execute(statement)
        # Privileges on a database are not copied with it.
        close_database(connection, Plan(name=name, owner=Role.OWNER, guests=(Role.APP,)))


def drop_databases(server: EmbeddedPostgres, *names: str) -> None:
    with _admin(server) as connection:
        for name in names:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )
