"""Errors of the server itself, each with a customer's value in its message (threats T4)."""

from typing import Final

from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from custody.acts.context import Custody

_CASTS: Final = (
    "integer", "bigint", "smallint", "numeric", "real", "date", "timestamptz", "time", "interval",
    "uuid", "json", "jsonb", "inet", "cidr", "macaddr", "boolean", "point", "box", "money",
    "int4range", "tsquery", "xid", "oid", "regclass", "regtype", "bit(4)", "pg_lsn",
)  # fmt: skip
_PARAMETERS: Final = (
    *(f"SELECT CAST(:value AS {kind})" for kind in _CASTS),
    "SELECT 'a' ~ ('(' || :value)",
    "SELECT decode(:value, 'hex')",
    "SELECT to_date(:value, 'YYYY-MM-DD')",
    "SELECT set_config(:value, 'x', true)",
    "SELECT custody.nothing(:value)",
    # The row is refused before it is written, and the server's message quotes all of it.
    "INSERT INTO customers (id, state) VALUES (gen_random_uuid(), :value)",
)
_LITERALS: Final = (
    "SELECT '{value}'::integer",
    'SELECT "{value}"',
    'SELECT * FROM "{value}"',
    "SELECT E'{value}\\xff'",
    "SELECT '{value}",
    "{value}",
    "DO $$ BEGIN RAISE EXCEPTION '{value}' USING DETAIL = '{value}', HINT = '{value}'; END $$",
    "DO $$ BEGIN RAISE WARNING '{value}'; RAISE NOTICE '{value}'; RAISE EXCEPTION 'x'; END $$",
    "DO $$ DECLARE a integer; BEGIN a := '{value}'; END $$",
)


def force(custody: Custody, value: str) -> int:
    """Force every error, and return how many there were."""
    forced = 0
    for statement in _PARAMETERS:
        forced += _fails(custody, statement, {"value": value})
    for statement in _LITERALS:
        escaped = statement.format(value=value).replace(":", "\\:")
        forced += _fails(custody, escaped, {})
    return forced


def _fails(custody: Custody, statement: str, parameters: dict[str, str]) -> bool:
    try:
        with custody.data.begin() as connection:
            connection.execute(sql(statement), parameters)
    except SQLAlchemyError:
        return True
    return False
