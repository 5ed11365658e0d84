"""``custody consent``: record one, withdraw, show; files go through ``custody ingest``."""

from typing import TYPE_CHECKING, Annotated

import typer

from custody.cli.customer import namespace_of, read_references
from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened, os_user

if TYPE_CHECKING:
    from custody.consent import Consent

app = Group("consent", "Consents: record, withdraw, show. Files: custody ingest FILE --source …")
CustomerArgument = Annotated[str, typer.Argument(help="The customer, cust_….")]


@app.offers("record")
def record(  # noqa: PLR0913 - the facts of a consent
    *,
    reference: Annotated[
        list[str], typer.Option(help="Whose it is: NAME=VALUE, such as customer_no=…; repeatable.")
    ],
    purpose: Annotated[str, typer.Option(help="The purpose consented to.")],
    given_at: Annotated[str, typer.Option(help="When it was given, with its zone (ISO 8601).")],
    kind: Annotated[
        str, typer.Option(help="purpose, sensitive, recipient or guardian.")
    ] = "purpose",
    recipient: Annotated[str, typer.Option(help="The recipient it names.")] = "",
    notice: Annotated[str, typer.Option(help="The version of the notice that was shown.")] = "",
    notice_shown_at: Annotated[str, typer.Option(help="When the notice was shown.")] = "",
    control_id: Annotated[str, typer.Option(help="The box, button or field used.")] = "",
    control_initial: Annotated[
        str, typer.Option(help="How the box stood before: unchecked or checked.")
    ] = "",
    text_digest: Annotated[str, typer.Option(help="SHA-256 of the text agreed to.")] = "",
    act: Annotated[str, typer.Option(help="tick, signature, confirmation or silence.")] = "",
    guardian_name: Annotated[str, typer.Option(help="The guardian, for a child under 14.")] = "",
    evidence_ref: Annotated[str, typer.Option(help="Where the evidence is kept.")] = "",
    source: Annotated[str, typer.Option(help="The source whose numbers the references are.")] = "",
    namespace: Annotated[str, typer.Option(help="Or their namespace.")] = "",
) -> None:
    """Record one consent as facts; what it is worth is computed when somebody relies on it."""
    from custody.acts.consents import record_consent
    from custody.identifiers import CUSTOMER, show_id

    facts = {
        **read_references(reference),
        "purpose": purpose,
        "kind": kind,
        "recipient": recipient,
        "given_at": given_at,
        "notice_version": notice,
        "notice_shown_at": notice_shown_at,
        "control_id": control_id,
        "control_initial": control_initial,
        "signed_text_digest": text_digest,
        "act": act,
        "guardian_name": guardian_name,
        "evidence_ref": evidence_ref,
    }
    with opened() as custody:
        within = namespace_of(custody, source, namespace)
        told = {name: value for name, value in facts.items() if value}
        customer = record_consent(custody, os_user(), within, told)
    shown = show_id(CUSTOMER, customer)
    show({"customer": shown, "purpose": purpose, "kind": kind}, "consent_recorded")


@app.offers("withdraw")
def withdraw(
    customer: CustomerArgument,
    *,
    purpose: Annotated[str, typer.Option(help="The purpose; nothing else is asked.")],
    recipient: Annotated[str, typer.Option(help="Only the consent naming this recipient.")] = "",
) -> None:
    """Withdraw a customer's consent; what rests on it is due for destruction from now on."""
    from custody.acts.consents import withdraw_consent
    from custody.identifiers import CUSTOMER, read_id

    with opened() as custody:
        count = withdraw_consent(
            custody, os_user(), read_id(CUSTOMER, customer), purpose, recipient
        )
    document = {"customer": customer, "purpose": purpose, "recipient": recipient}
    show({**document, "withdrawn": count}, "consent_withdrawn")


@app.offers("show")
def show_consents(customer: CustomerArgument) -> None:
    """Show a customer's consents, oldest first."""
    from custody.acts.consents import show_consents as consents_of
    from custody.cli.customer import require_customer

    with opened() as custody:
        customer_id = require_customer(custody, customer)
        rows = [_row(one) for one in consents_of(custody, customer_id)]
    show({"customer": customer, "consents": rows})


def _row(consent: "Consent") -> dict[str, object]:
    return {
        "purpose": consent.purpose,
        "kind": consent.kind,
        "recipient": consent.recipient,
        "given_at": consent.given_at,
        "withdrawn_at": consent.withdrawn_at,
        "notice": consent.notice_version,
        "act": consent.act,
        "control_initial": consent.control_initial,
    }
