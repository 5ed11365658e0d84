"""Statements on quality suites, kept whole by digest, and on their results in the ledger."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, text

from custody.canonical import canonical
from custody.gates import GateSuite, read_suite

RESULTS: Final = (
    "quality:ingest:judged",
    "quality:store:judged",
    "quality:transfer:judged",
    "quality:destroy:judged",
)
"""The events of results in the ledger."""
_KEEP = text(
    "INSERT INTO quality_suites (digest, body) VALUES (:digest, :body)"
    " ON CONFLICT (digest) DO NOTHING"
)
_SUITES = text(
    "SELECT digest, body FROM quality_suites"
    " WHERE CAST(:digests AS text[]) IS NULL OR digest = ANY(:digests) ORDER BY digest"
)


def keep_suite(connection: Connection, suite: GateSuite) -> None:
    """Keep a suite whole, under its digest, unless it is kept already."""
    body = canonical(suite.to_plain()).decode()
    connection.execute(_KEEP, {"digest": suite.digest, "body": body})


def suite_bodies(connection: Connection, digests: Collection[str] | None = None) -> dict[str, str]:
    """Return the bodies of suites as they are kept, by digest: of these, or of all."""
    wanted = None if digests is None else list(digests)
    return {row.digest: row.body for row in connection.execute(_SUITES, {"digests": wanted})}


def kept_suites(connection: Connection) -> dict[str, GateSuite]:
    """Return every suite that is kept, by its digest."""
    bodies = suite_bodies(connection)
    return {digest: read_suite(body.encode()) for digest, body in bodies.items()}


def find_suite(connection: Connection, digest: str) -> GateSuite | None:
    """Return a suite by its digest, None where none is kept."""
    body = suite_bodies(connection, [digest]).get(digest)
    return None if body is None else read_suite(body.encode())
