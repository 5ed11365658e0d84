"""``custody explain``: a code, or what became of a request, plan, certificate or batch."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.manner import manner
from custody.cli.output import show
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody

Document = dict[str, object]


def explain(
    what: Annotated[
        str, typer.Argument(metavar="CODE|REF", help="A code, or req_…, plan_…, cert_…, batch_….")
    ],
) -> None:
    """Tell all about a code, request, plan, certificate or batch."""
    from custody.codes import find_code
    from custody.messages import explain_code

    known = find_code(what)
    if known is not None:
        show(asdict(explain_code(what, manner().lang)))
        return
    prefix, underscore, _ = what.partition("_")
    if not underscore or prefix not in _EXPLAINED:
        raise UsageError("neither a code nor a reference custody can explain", what)
    from custody.cli.session import opened

    with opened() as custody:
        document = _EXPLAINED[prefix](custody, what)
    show(document)


def _request(custody: "Custody", shown: str) -> Document:
    from custody.cli.asking import request_document

    return request_document(custody, shown)


def _plan(custody: "Custody", shown: str) -> Document:
    from custody.cli.destroy import plan_document

    return plan_document(custody, shown)


def _certificate(custody: "Custody", shown: str) -> Document:
    from custody.cli.certificate import certificate_document

    return certificate_document(custody, shown)


def _batch(custody: "Custody", shown: str) -> Document:
    from custody.cli.batches import batch_document

    return batch_document(custody, shown)


_EXPLAINED: Final[Mapping[str, Callable[["Custody", str], Document]]] = {
    "req": _request,
    "plan": _plan,
    "cert": _certificate,
    "batch": _batch,
}
