"""``custody certificate``: show what was certified, and check a certificate's signature."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.acts.context import Custody

app = Group("certificate", "Certificates of destruction: show, verify.")
Document = dict[str, object]
_PROOF = frozenset({"body", "signature"})
_SIGNED = _PROOF | {"public_key"}


@app.offers("show")
def show_certificate(
    reference: Annotated[str, typer.Argument(help="The certificate, cert_…, or its plan, plan_….")],
) -> None:
    """Show a certificate. With --json it is what `certificate verify FILE` checks anywhere."""
    with opened() as custody:
        document = certificate_document(custody, reference)
    show(document)


@app.offers("verify")
def verify(
    what: Annotated[
        str, typer.Argument(metavar="CERT|FILE", help="A certificate, or a file of `show --json`.")
    ],
    *,
    public_key: Annotated[
        str | None,
        typer.Option(help="The installation's public key as you know it, in hexadecimal."),
    ] = None,
) -> None:
    """Check a certificate's signature; a file needs no installation.

    Without --public-key a file is checked against the key it names itself, which proves only that
    it was not altered since: compare that key with the one you were given.
    """
    from custody.acts.certify import verify_certificate

    if Path(what).is_file():
        document = _read(Path(what))
    else:
        with opened() as custody:
            document = certificate_document(custody, what)
    key = public_key or str(document["public_key"])
    try:
        signature, key_bytes = bytes.fromhex(str(document["signature"])), bytes.fromhex(key)
    except ValueError:
        raise UsageError("signature and key are written in hexadecimal") from None
    said = verify_certificate(str(document["body"]), signature, key_bytes)
    _require_unaltered(document, said)
    facts = {name: said[name] for name in ("certificate", "plan", "as_of", "issued_at", "part")}
    show({**facts, "public_key": key, "outcomes": said["outcomes"]}, "certificate_good")


def certificate_document(custody: "Custody", shown: str) -> Document:
    """Return a certificate: what it says, its signed body, signature and key.

    Raises:
        UsageError: There is none.
    """
    from custody.canonical import parse_canonical
    from custody.database.engine import transaction
    from custody.database.plans import find_certificate
    from custody.identifiers import CERTIFICATE, PLAN, read_id, show_id

    prefix = PLAN if shown.startswith(f"{PLAN}_") else CERTIFICATE
    with transaction(custody.data) as connection:
        found = find_certificate(connection, read_id(prefix, shown))
    if found is None:
        raise UsageError("no such certificate", shown)
    said = parse_canonical(found.body.encode())
    return {
        "certificate": show_id(CERTIFICATE, found.id),
        "plan": show_id(PLAN, found.plan_id),
        "issued_at": said["issued_at"],
        **{name: said[name] for name in ("as_of", "part", "method", "installation", "policy")},
        "public_key": said["public_key"],
        "signature": bytes(found.signature).hex(),
        "body": found.body,
        **{name: said[name] for name in ("outcomes", "by_dataset", "verified_absent", "statement")},
    }


def _require_unaltered(document: Document, said: Document) -> None:
    """Refuse a document that tells its reader anything else than the signed body does.

    Raises:
        UsageError: It does; the places are named.
    """
    beside = document.keys() - _PROOF
    altered = sorted(n for n in beside if n not in said or document[n] != said[n])
    if altered:
        raise UsageError("the certificate does not say what was signed", ", ".join(altered))


def _read(file: Path) -> Document:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or not document.keys() >= _SIGNED:
        raise UsageError("not what `custody certificate show --json` wrote", file.name)
    return document
