"""Statements on the installation's one row and on the policy versions it has used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

_ADD = text(
    "INSERT INTO installation (id, created_at, synthetic, zone)"
    " VALUES (:id, :created_at, :synthetic, :zone)"
)
_FIND = text("SELECT id, created_at, synthetic, zone FROM installation")
_IS_MIGRATED = text("SELECT to_regclass('custody.installation') IS NOT NULL")
_REMEMBER = text(
    "INSERT INTO policy_versions (digest, loaded_at, documents)"
    " VALUES (:digest, :at, CAST(:documents AS jsonb)) ON CONFLICT (digest) DO NOTHING"
)
_USED_LAST = text(
    "SELECT v.documents FROM ledger.entries e"
    " JOIN policy_versions v ON v.digest = e.body::jsonb ->> 'policy' ORDER BY e.seq DESC LIMIT 1"
)
_VERSIONS = text("SELECT digest, documents FROM policy_versions ORDER BY loaded_at, digest")


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """What was fixed when the installation was created."""

    id: UUID
    created_at: datetime
    synthetic: bool
    zone: str


def add_installation(connection: Connection, installation: Installation) -> None:
    """Write the installation's one row."""
    names = Installation.__dataclass_fields__
    connection.execute(_ADD, {name: getattr(installation, name) for name in names})


def find_installation(connection: Connection) -> Installation | None:
    """Return the installation, None where none was created yet, or not even the tables were."""
    if not connection.execute(_IS_MIGRATED).scalar_one():
        return None
    row = connection.execute(_FIND).one_or_none()
    return None if row is None else Installation(**row._mapping)


def remember_policy(
    connection: Connection, digest: str, documents: Mapping[str, str], at: datetime
) -> bool:
    """Keep a policy version whole, under its digest, and return whether it was new."""
    row = {"digest": digest, "at": at, "documents": json.dumps(dict(documents))}
    return connection.execute(_REMEMBER, row).rowcount == 1


def policy_used_last(connection: Connection) -> dict[str, str] | None:
    """Return the documents of the stored policy under which the ledger's last entry was made."""
    found: dict[str, str] | None = connection.execute(_USED_LAST).scalar_one_or_none()
    return found


def policy_versions(connection: Connection) -> dict[str, dict[str, str]]:
    """Return every policy version that was used, by digest, oldest first."""
    return {row.digest: row.documents for row in connection.execute(_VERSIONS)}
