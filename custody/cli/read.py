"""``custody read``: what a grant lets you see, masked unless it was granted in clear."""

from typing import Annotated

import typer

from custody.approval import read_digest
from custody.cli.output import show
from custody.cli.session import opened, os_user
from custody.cli.signing import SessionOption, read_own_session
from custody.errors import Reason, RefusedError
from custody.identifiers import CUSTOMER, GRANT, read_id


def read(
    grant: Annotated[str, typer.Argument(help="The grant, grant_….")],
    *,
    customer: Annotated[
        list[str] | None, typer.Option(help="Only these customers, cust_…; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many rows.")] = 100,
    session: SessionOption = None,
) -> None:
    """Read under a grant. The ledger says so before you see anything.

    Whether a field is masked or in clear was decided with the grant.
    """
    from custody.acts.read import READ
    from custody.acts.read import read as read_rows
    from custody.acts.session import act_token

    grant_id = read_id(GRANT, grant)
    chosen = None if not customer else [read_id(CUSTOMER, one) for one in customer]
    own = read_own_session(session)
    with opened() as custody:
        by = custody.hash_name
        digest = read_digest(custody.installation_id, grant, chosen, limit, by=by)
        token = act_token(own, READ, digest, custody.now())
        reading = read_rows(custody, os_user(), token, grant_id, customer_ids=chosen, limit=limit)
    if not reading.rows:
        left_out = [Reason(code=code, count=n) for code, n in sorted(reading.left_out.items())]
        raise RefusedError(grant, tuple(left_out) or (Reason(code="nothing_to_do"),))
    rows = [{"customer": row.customer, **row.values} for row in reading.rows]
    show({"grant": grant, "shown": len(rows), "left_out": dict(reading.left_out), "rows": rows})
