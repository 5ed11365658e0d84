"""Statements on grants and deliveries: what requests came to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

_COLUMNS = "id, request_id, staff_id, dataset, purpose, fields, until, granted_at, revoked_at"
_FIND = text(f"SELECT {_COLUMNS} FROM grants WHERE id = :id FOR SHARE")  # noqa: S608
_OF_REQUEST = text(f"SELECT {_COLUMNS} FROM grants WHERE request_id = :request")  # noqa: S608
_LIST = text(
    f"SELECT {_COLUMNS} FROM grants"  # noqa: S608
    " WHERE (CAST(:staff AS uuid) IS NULL OR staff_id = :staff) ORDER BY id"
)
_ADD = text(
    f"INSERT INTO grants ({_COLUMNS})"  # noqa: S608
    " VALUES (:id, :request_id, :staff_id, :dataset, :purpose,"
    " CAST(:fields AS jsonb), :until, :granted_at, :revoked_at)"
)
_REVOKE = text("UPDATE grants SET revoked_at = :at WHERE staff_id = :staff AND revoked_at IS NULL")
_DELIVERY = text(
    "SELECT request_id, delivered_at, rows, left_out, package_sha256, manifest, signature"
    " FROM deliveries WHERE request_id = :request"
)
_ADD_DELIVERY = text(
    "INSERT INTO deliveries (request_id, delivered_at, rows, left_out, package_sha256, manifest,"
    " signature) VALUES (:request_id, :delivered_at, :rows, CAST(:left_out AS jsonb),"
    " :package_sha256, :manifest, :signature)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Leave to read what a request froze, until an instant.

    Attributes:
        fields: Field name to ``masked`` or ``clear``.
    """

    id: UUID
    request_id: UUID
    staff_id: UUID
    dataset: str
    purpose: str
    fields: Mapping[str, str]
    until: datetime
    granted_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One delivered package; ``signature`` is the installation's over ``manifest``."""

    request_id: UUID
    delivered_at: datetime
    rows: int
    left_out: Mapping[str, int]
    package_sha256: str
    manifest: str
    signature: bytes


def add_grant(connection: Connection, grant: Grant) -> None:
    """Add a grant; a request has at most one."""
    row = {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
    connection.execute(_ADD, row | {"fields": json.dumps(dict(grant.fields))})


def find_grant(connection: Connection, grant_id: UUID) -> Grant | None:
    """Return the grant and lock it against its revocation, None if there is none."""
    row = connection.execute(_FIND, {"id": grant_id}).mappings().one_or_none()
    return None if row is None else Grant(**row)


def grant_of(connection: Connection, request_id: UUID) -> Grant | None:
    """Return the grant a request led to, None if there is none yet."""
    row = connection.execute(_OF_REQUEST, {"request": request_id}).mappings().one_or_none()
    return None if row is None else Grant(**row)


def list_grants(connection: Connection, staff_id: UUID | None = None) -> list[Grant]:
    """Return a person's grants, or everybody's."""
    rows = connection.execute(_LIST, {"staff": staff_id}).mappings()
    return [Grant(**row) for row in rows]


def revoke_grants_of(connection: Connection, staff_id: UUID, at: datetime) -> int:
    """Revoke every grant of a person and return how many there were."""
    return connection.execute(_REVOKE, {"staff": staff_id, "at": at}).rowcount


def add_delivery(connection: Connection, delivery: Delivery) -> None:
    """Note that a request was delivered; the database admits it once."""
    row = {name: getattr(delivery, name) for name in Delivery.__dataclass_fields__}
    connection.execute(_ADD_DELIVERY, row | {"left_out": json.dumps(dict(delivery.left_out))})


def find_delivery(connection: Connection, request_id: UUID) -> Delivery | None:
    """Return what was delivered for a request, None if nothing was yet."""
    row = connection.execute(_DELIVERY, {"request": request_id}).mappings().one_or_none()
    if row is None:
        return None
    columns = dict(row)
    return Delivery(**columns | {"signature": bytes(columns["signature"])})
