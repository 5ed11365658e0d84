"""A request's life, and whether it still is what was filed.

draft → filed → refused
              → approved → granted | delivered        (nobody has to approve it)
              → awaiting → approved → granted | delivered
                         → rejected
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.acts.proof import refusal
from custody.approval import (
    DESTROY,
    TRANSFER,
    USE,
    Ask,
    FrozenRow,
    Request,
    parse_request,
    rows_root,
)
from custody.canonical import parse_canonical
from custody.database import requests
from custody.database.requests import RequestRow
from custody.errors import Reason, UsageError
from custody.identifiers import PLAN, REQUEST, read_id, show_id

DRAFT: Final = "draft"
FILED: Final = "filed"
REFUSED: Final = "refused"
AWAITING: Final = "awaiting"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
GRANTED: Final = "granted"
DELIVERED: Final = "delivered"
EDITABLE: Final = frozenset({FILED, REFUSED, AWAITING, APPROVED})
ACTS: Final = {USE: "file_use", TRANSFER: "file_transfer"}


def require_request(row: RequestRow | None) -> RequestRow:
    """Return the request that was looked up.

    Raises:
        UsageError: There is none with that id.
    """
    if row is None:
        raise UsageError("no such request")
    return row


def not_open(row: RequestRow) -> Exception:
    """Return the refusal of an act for which the request is in the wrong state."""
    return refusal(show_id(REQUEST, row.id), "request_not_open", row.state)


def read_ask(row: RequestRow) -> Ask:
    """Return what a request or draft asks for."""
    return Ask.from_plain(parse_canonical(row.ask.encode()))


def recompute(connection: Connection, custody: Custody, row: RequestRow) -> Request:
    """Return the request as the tables have it now, if its digest still is what was filed.

    Everything the tables know is put in place of what the body says: rows, versions, customers,
    requester, revision, policy, the hash of the installation. Any difference changes the digest.

    Raises:
        RefusedError: It differs (`digest_mismatch`), or it is a draft (`request_not_open`).
    """
    if row.state == DRAFT:
        raise not_open(row)
    request = parse_request(row.body)
    rows = list(_covered(connection, row, request))
    present = replace(
        request,
        installation=custody.installation_id,
        id=row.id,
        revision=row.revision,
        kind=row.kind,
        requester=row.requester,
        policy=row.policy_digest,
        filed_at=row.filed_at,
        rows=len(rows),
        root=rows_root(rows, by=custody.hash_name),
        customers=len({one.customer_id for one in rows}),
        by=custody.hash_name,
    )
    if (present.body.decode(), present.digest.value) != (row.body, bytes(row.digest)):
        raise refusal(show_id(REQUEST, row.id), "digest_mismatch")
    return present


def write_reasons(reasons: Iterable[Reason]) -> str:
    """Return reasons as a request's row keeps them."""
    return json.dumps([{"code": r.code, "about": r.about, "count": r.count} for r in reasons])


def read_reasons(row: RequestRow) -> tuple[Reason, ...]:
    """Return the reasons a request's row keeps."""
    return tuple(
        Reason(code=str(one["code"]), about=str(one["about"]), count=int(one["count"]))
        for one in row.reasons
    )


def _covered(connection: Connection, row: RequestRow, request: Request) -> Iterable[FrozenRow]:
    if row.kind == DESTROY:
        return requests.planned_rows(connection, read_id(PLAN, request.plan))
    return requests.frozen_rows(connection, row.id, row.revision)
