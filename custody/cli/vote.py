"""``custody approve`` and ``reject``: one person's signed vote on exactly what is shown first."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from custody.approval import APPROVE, DESTROY, REJECT, USE
from custody.cli.asking import Document, RequestArgument, view_document
from custody.cli.manner import manner
from custody.cli.output import show
from custody.cli.session import announce, opened, os_user
from custody.cli.signing import KeyOption, PassphraseOption, YesOption, confirm, open_key
from custody.identifiers import REQUEST, read_id

if TYPE_CHECKING:
    from custody.acts.request_views import RequestView


def approve(
    request: RequestArgument,
    *,
    key: KeyOption,
    yes: YesOption = False,
    person_passphrase_file: PassphraseOption = None,
) -> None:
    """Approve a request, with your key. You are shown what you sign first.

    Two people approve, neither of them the requester.
    """
    _vote(request, "approve", key, person_passphrase_file, yes=yes)


def reject(
    request: RequestArgument,
    *,
    key: KeyOption,
    yes: YesOption = False,
    person_passphrase_file: PassphraseOption = None,
) -> None:
    """Reject a request, with your key. One rejection ends it."""
    _vote(request, "reject", key, person_passphrase_file, yes=yes)


def _vote(
    shown: str,
    decision: Literal["approve", "reject"],
    key_file: Path,
    passphrase_file: Path | None,
    *,
    yes: bool,
) -> None:
    from custody.acts.request_views import show_request
    from custody.acts.staff import require_key_owner
    from custody.acts.vote import cast_vote, vote_token

    with opened() as custody:
        view = show_request(custody, read_id(REQUEST, shown))
        if not (manner().json or manner().quiet):
            show(view_document(view))
        confirm(f"confirm_{decision}", yes=yes, request=shown, digest=view.digest)
        key = open_key(key_file, passphrase_file)
        signer = key.signer(require_key_owner(custody, key.kid).id)
        token = vote_token(signer, view.request, decision, custody.now())
        receipt = cast_vote(custody, os_user(), token)
        announced = _wants_a_run(view, receipt.state) and announce(custody)
    document: Document = {
        "request": shown,
        "decision": decision,
        "state": receipt.state,
        "votes": receipt.votes,
        "needed": receipt.needed,
        "digest": view.digest,
        "announced": announced,
        "next": _next(view, receipt.state),
    }
    show(document, {APPROVE: "vote_approved", REJECT: "vote_rejected"}[decision])


def _wants_a_run(view: "RequestView", state: str) -> bool:
    """Whether the vote's event starts a run: the deployed flow delivers what was approved."""
    return state == "approved" and view.request.kind != DESTROY


def _next(view: "RequestView", state: str) -> str:
    """Return the command that carries an approved request out."""
    request = view.request
    if state != "approved":
        return ""
    if request.kind == DESTROY:
        return f"custody destroy apply {request.plan}"
    act = "use grant" if request.kind == USE else "transfer deliver"
    return f"custody {act} {request.shown}"
