"""``custody use``: ask to use data, for a purpose and a time; rules decide, or two people."""

from typing import TYPE_CHECKING

import typer

from custody.approval import USE
from custody.cli.asking import (
    ClearOption,
    CustomersOption,
    DatasetOption,
    MaskedOption,
    PurposeOption,
    RequestArgument,
    StateOption,
    UntilOption,
    Wish,
    file_signed,
    request_document,
    request_lines,
    sign_as_requester,
)
from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import announce, opened, opened_with_prefect, os_user, run_flow
from custody.cli.signing import SessionOption, YesOption, confirm
from custody.errors import EXIT_AWAITING, Reason, RefusedError

if TYPE_CHECKING:
    from custody.acts.context import Custody

app = Group("use", "Ask to use data; see decisions and grants.")
Document = dict[str, object]


@app.offers("request")
def request(  # noqa: PLR0913 - what is asked for
    *,
    dataset: DatasetOption,
    purpose: PurposeOption,
    masked: MaskedOption = "",
    clear: ClearOption = "",
    customer: CustomersOption = None,
    until: UntilOption = None,
    session: SessionOption = None,
) -> None:
    """Ask to use data; the rules decide at once, with every reason."""
    from custody.identifiers import REQUEST, show_id

    wish = Wish(
        kind=USE,
        dataset=dataset,
        purpose=purpose,
        masked=masked,
        clear=clear,
        customers=customer,
        until=until,
    )
    with opened_with_prefect() as custody:
        shown = show_id(REQUEST, file_signed(custody, wish, session))
        document = _decide(custody, shown)
    _finish(document)


@app.offers("sign")
def sign(
    request: RequestArgument, *, session: SessionOption = None, yes: YesOption = False
) -> None:
    """Sign a draft made in the Prefect UI: you then have asked for it."""
    with opened_with_prefect() as custody:
        if not yes:
            show(request_document(custody, request))
        confirm("confirm_sign", yes=yes, request=request)
        sign_as_requester(custody, request, session)
        document = _decide(custody, request)
    _finish(document)


@app.offers("grant")
def grant(request: RequestArgument) -> None:
    """Grant a use once two people approved it; granting again returns the same grant."""
    with opened_with_prefect() as custody:
        document = _decide(custody, request)
    _finish(document)


@app.offers("show")
def show_one(request: RequestArgument) -> None:
    """Show a request: what it covers, where it stands, every reason."""
    with opened() as custody:
        document = request_document(custody, request)
    show(document)


@app.offers("list")
def list_all(*, state: StateOption = None) -> None:
    """List requests for use, and the grants there are."""
    from custody.acts.use import list_grants
    from custody.identifiers import GRANT, STAFF, show_id

    with opened() as custody:
        lines = request_lines(custody, USE, state)
        grants = [
            {
                "grant": show_id(GRANT, one.id),
                "staff": show_id(STAFF, one.staff_id),
                "dataset": one.dataset,
                "purpose": one.purpose,
                "until": one.until,
                "revoked_at": one.revoked_at,
            }
            for one in list_grants(custody)
        ]
    show({"requests": lines, "grants": grants})


def _decide(custody: "Custody", shown: str) -> Document:
    """Run the use flow on a request and return where it stands."""
    from custody.acts.request_views import show_request
    from custody.identifiers import REQUEST, read_id
    from flows.use import use

    receipt = run_flow(use, request_id=shown)
    announce(custody)
    view = show_request(custody, read_id(REQUEST, shown))
    if view.state in {"refused", "rejected"}:
        raise RefusedError(shown, _blocking(custody, shown))
    document: Document = {"request": shown, "state": view.state, "rows": view.request.rows}
    if receipt.result:
        document |= {"grant": receipt.result, "next": f"custody read {receipt.result}"}
    elif view.state == "awaiting":
        document |= {"needed": view.needed, "next": f"custody approve {shown}"}
    return {**document, "left_out": dict(view.request.left_out)}


def _blocking(custody: "Custody", shown: str) -> tuple[Reason, ...]:
    from custody.acts.use import decide_use
    from custody.identifiers import REQUEST, read_id

    return decide_use(custody, os_user(), read_id(REQUEST, shown)).reasons


def _finish(document: Document) -> None:
    show(document, "use_granted" if "grant" in document else "request_awaiting")
    if "grant" not in document:
        raise typer.Exit(EXIT_AWAITING)
