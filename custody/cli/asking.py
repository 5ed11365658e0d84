"""Requests as people make them and see them: from options to a signed ask, from a row to a page."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from custody.approval import CLEAR, MASKED, Ask, ask_digest
from custody.cli.faults import describe_reason
from custody.cli.session import os_user
from custody.cli.signing import read_own_session
from custody.errors import UsageError
from custody.identifiers import CUSTOMER, REQUEST, STAFF, read_id, show_id

if TYPE_CHECKING:
    from custody.acts.context import Custody
    from custody.acts.request_views import RequestView

Document = dict[str, object]

RequestArgument = Annotated[str, typer.Argument(help="The request, req_….")]
DatasetOption = Annotated[str, typer.Option(help="The dataset.")]
PurposeOption = Annotated[str, typer.Option(help="The purpose.")]
MaskedOption = Annotated[str, typer.Option(help="Fields wanted masked, separated by commas.")]
ClearOption = Annotated[str, typer.Option(help="Fields wanted in clear, separated by commas.")]
CustomersOption = Annotated[
    list[str] | None,
    typer.Option("--customer", help="Whose records, cust_…; repeatable; none for everybody's."),
]
UntilOption = Annotated[
    str | None, typer.Option(help="The last day, YYYY-MM-DD; by default seven days from today.")
]
StateOption = Annotated[str | None, typer.Option(help="Only requests in this state.")]

_DEFAULT_DAYS = 7
_FIRST_YEAR, _LAST_YEAR = 1900, 2999


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the options of a request say."""

    kind: str
    dataset: str
    purpose: str
    masked: str
    clear: str
    customers: list[str] | None
    until: str | None
    recipient: str = ""
    form: str = "csv"

    def ask(self, custody: "Custody") -> Ask:
        """Return the ask it comes to; names are checked when it is filed."""
        custody.policy.purpose(self.purpose)
        chosen = None if not self.customers else tuple(map(_customer, self.customers))
        return Ask(
            kind=self.kind,
            dataset=self.dataset,
            purpose=self.purpose,
            fields=_fields(self.masked, self.clear),
            until=_end_of(custody, self.until),
            customers=chosen,
            recipient=self.recipient,
            form=self.form,
        )


def file_signed(custody: "Custody", wish: Wish, session_file: Path | None) -> UUID:
    """File a request signed in the session of this computer's user."""
    from custody.acts.request_state import ACTS
    from custody.acts.requests import file_request
    from custody.acts.session import act_token

    ask = wish.ask(custody)
    session = read_own_session(session_file)
    digest = ask_digest(custody.installation_id, ask, by=custody.hash_name)
    token = act_token(session, ACTS[ask.kind], digest, custody.now())
    return file_request(custody, os_user(), ask, token)


def sign_as_requester(custody: "Custody", shown: str, session_file: Path | None) -> None:
    """Turn a draft into a request of the session's owner."""
    from custody.acts.request_state import ACTS
    from custody.acts.request_views import show_draft
    from custody.acts.requests import sign_draft
    from custody.acts.session import act_token

    request_id = read_id(REQUEST, shown)
    ask = Ask.from_plain(show_draft(custody, request_id))
    session = read_own_session(session_file)
    digest = ask_digest(custody.installation_id, ask, request_id, by=custody.hash_name)
    token = act_token(session, ACTS[ask.kind], digest, custody.now())
    sign_draft(custody, os_user(), request_id, token)


def request_document(custody: "Custody", shown: str) -> Document:
    """Return a request as custody reads it from its own tables, with every reason."""
    from custody.acts.request_state import DRAFT
    from custody.acts.request_views import request_state, show_draft, show_request

    request_id = read_id(REQUEST, shown)
    kind, state = request_state(custody, request_id)
    if state == DRAFT:
        return {"request": shown, "kind": kind, "state": state, **show_draft(custody, request_id)}
    return view_document(show_request(custody, request_id))


def view_document(view: "RequestView") -> Document:
    """Return all that an approver has to see before signing."""
    request = view.request
    document: Document = {
        "request": request.shown,
        "kind": request.kind,
        "state": view.state,
        "revision": request.revision,
        "requester": _person(view),
        "dataset": request.dataset,
        "purpose": request.purpose,
        "basis": request.basis,
        "rows": request.rows,
        "customers": request.customers,
        "recipient": request.recipient,
        "country": request.country,
        "key_fingerprint": request.key,
        "assessment": request.assessment,
        "until": request.until,
        "form": request.form,
        "plan": request.plan,
        "policy": request.policy,
        "digest": view.digest,
        "needed": view.needed,
    }
    told: Document = {name: value for name, value in document.items() if value not in {"", None}}
    reasons = [_brief(describe_reason(reason)) for reason in view.reasons]
    votes = [{"staff": who, "decision": decision} for who, decision in view.votes]
    return {
        **told,
        "fields": dict(request.fields),
        "left_out": dict(request.left_out),
        "votes": votes,
        "reasons": reasons,
    }


def request_lines(custody: "Custody", kind: str, state: str | None) -> list[Document]:
    """Return the requests of a kind, one line each."""
    from custody.acts.request_views import list_requests

    return [
        {
            "request": show_id(REQUEST, line.id),
            "state": line.state,
            "revision": line.revision,
            "requester": show_id(STAFF, line.requester) if line.requester else "",
            "filed_at": line.filed_at,
        }
        for line in list_requests(custody, state)
        if line.kind == kind
    ]


def _brief(reason: dict[str, Any]) -> Document:
    return {name: reason[name] for name in ("code", "about", "count", "title", "article", "next")}


def _person(view: "RequestView") -> str:
    asking = view.requester
    return f"{asking.shown} {asking.name} ({asking.department})" if asking else ""


def _customer(shown: str) -> UUID:
    return read_id(CUSTOMER, shown)


def _fields(masked: str, clear: str) -> dict[str, str]:
    fields = dict.fromkeys(_names(masked), MASKED)
    twice = fields.keys() & _names(clear)
    if twice:
        raise UsageError("a field is asked for masked or clear, not both", ", ".join(sorted(twice)))
    fields |= dict.fromkeys(_names(clear), CLEAR)
    if not fields:
        raise UsageError("name at least one field: --masked or --clear")
    return fields


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _end_of(custody: "Custody", until: str | None) -> datetime:
    """Return the end of the last day, in the installation's zone."""
    last = custody.today() + timedelta(days=_DEFAULT_DAYS) if until is None else read_day(until)
    return datetime.combine(last + timedelta(days=1), time.min, custody.zone).astimezone(UTC)


def read_day(given: str) -> date:
    """Return a day from ``YYYY-MM-DD``, in a year of which a retention period can still be counted.

    Raises:
        UsageError: It is none.
    """
    try:
        day = date.fromisoformat(given)
    except ValueError:
        raise UsageError("a day is written YYYY-MM-DD", given) from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise UsageError(f"a day lies in the years {_FIRST_YEAR} to {_LAST_YEAR}", given)
    return day
