"""``custody transfer``: ask to send data to a recipient; two people decide; a package goes."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.approval import CSV, TRANSFER
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
from custody.cli.output import note, show, wait_until
from custody.cli.session import announce, opened, opened_with_prefect, os_user, run_flow
from custody.cli.signing import SessionOption, YesOption, confirm
from custody.errors import EXIT_AWAITING, EXIT_FAULT, RefusedError

if TYPE_CHECKING:
    from custody.acts.context import Custody

app = Group("transfer", "Ask to send data to a recipient; see and deliver.")
Document = dict[str, object]
WAIT_SECONDS: Final = 120.0
_UNDECIDED: Final = "filed"
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until the deployed flow has decided.")
]


@app.offers("request")
def request(  # noqa: PLR0913 - what is asked for
    *,
    recipient: Annotated[str, typer.Option(help="The recipient's name in recipients.yaml.")],
    dataset: DatasetOption,
    purpose: PurposeOption,
    masked: MaskedOption = "",
    clear: ClearOption = "",
    customer: CustomersOption = None,
    until: UntilOption = None,
    form: Annotated[str, typer.Option(help="csv or xlsx.")] = CSV,
    session: SessionOption = None,
    wait: WaitOption = False,
) -> None:
    """Ask for a transfer. Filing announces it, and the deployed flow decides with every reason."""
    from custody.identifiers import REQUEST, show_id

    wish = Wish(
        kind=TRANSFER,
        dataset=dataset,
        purpose=purpose,
        masked=masked,
        clear=clear,
        customers=customer,
        until=until,
        recipient=recipient,
        form=form,
    )
    with opened() as custody:
        shown = show_id(REQUEST, file_signed(custody, wish, session))
        document = _announced(custody, shown, wait=wait)
    _finish(document)


@app.offers("sign")
def sign(
    request: RequestArgument,
    *,
    session: SessionOption = None,
    wait: WaitOption = False,
    yes: YesOption = False,
) -> None:
    """Sign a draft made in the Prefect UI: you then have asked for it."""
    with opened() as custody:
        if not yes:
            show(request_document(custody, request))
        confirm("confirm_sign", yes=yes, request=request)
        sign_as_requester(custody, request, session)
        document = _announced(custody, request, wait=wait)
    _finish(document)


@app.offers("show")
def show_one(request: RequestArgument) -> None:
    """Show a request: what it covers, for whom, where it stands, every reason."""
    with opened() as custody:
        document = request_document(custody, request)
    show(document)


@app.offers("list")
def list_all(*, state: StateOption = None) -> None:
    """List requests for transfer."""
    with opened() as custody:
        lines = request_lines(custody, TRANSFER, state)
    show({"requests": lines})


@app.offers("deliver")
def deliver(request: RequestArgument) -> None:
    """Decide on a filed transfer, and deliver an approved one, here and now; once only."""
    with opened_with_prefect() as custody:
        from flows.transfer import transfer  # Prefect reads its address when it is imported

        receipt = run_flow(transfer, request_id=request)
        document = _standing(custody, request)
        if receipt.state == "delivered":
            document |= {"rows": receipt.rows, "package_sha256": receipt.result}
            document |= {"folder": str(custody.outbox), "left_out": dict(receipt.left_out)}
    _finish(document)


def _announced(custody: "Custody", shown: str, *, wait: bool) -> Document:
    heard = announce(custody)
    if wait and heard:
        note("waiting_for_decision")
        decided = wait_until(lambda: _state(custody, shown) != _UNDECIDED, WAIT_SECONDS)
        if not decided:
            note("decision_not_in_time", request=shown)
    return {**_standing(custody, shown), "announced": heard}


def _state(custody: "Custody", shown: str) -> str:
    from custody.acts.request_views import request_state
    from custody.identifiers import REQUEST, read_id

    return request_state(custody, read_id(REQUEST, shown))[1]


def _standing(custody: "Custody", shown: str) -> Document:
    """Return where a transfer stands.

    Raises:
        RefusedError: It was refused or rejected; with every reason.
    """
    from custody.acts.request_views import show_request
    from custody.acts.transfer import decide_transfer
    from custody.identifiers import REQUEST, read_id

    request_id = read_id(REQUEST, shown)
    view = show_request(custody, request_id)
    if view.state in {"refused", "rejected"}:
        raise RefusedError(shown, decide_transfer(custody, os_user(), request_id).reasons)
    document: Document = {
        "request": shown,
        "state": view.state,
        "recipient": view.request.recipient,
        "rows": view.request.rows,
        "customers": view.request.customers,
        "digest": view.digest,
        "left_out": dict(view.request.left_out),
    }
    follows = {"filed": "transfer deliver", "awaiting": "approve", "approved": "transfer deliver"}
    if view.state in follows:
        document["next"] = f"custody {follows[view.state]} {shown}"
    return document


def _finish(document: Document) -> None:
    show(document, f"transfer_{document['state']}")
    if document["state"] == "awaiting":
        raise typer.Exit(EXIT_AWAITING)
    if document["state"] == "approved":  # nobody delivered it: the flow should have
        raise typer.Exit(EXIT_FAULT)
