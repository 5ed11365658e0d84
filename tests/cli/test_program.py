"""custody.Client does by calls what the command line does by commands; on the journey's firm."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cli_firm import WORDS, Firm
from small_firm import NUMBERS, consents_csv, customers_csv

import custody
from custody.approval import CLEAR, MASKED, TRANSFER, USE, Ask
from custody.cli.session import opened
from custody.decision import Verdict
from custody.keys.person import open_person_key


def test_the_client_is_at_the_root_and_costs_nothing_before_it_is_wanted() -> None:
    asked = (
        "import sys, custody; assert 'sqlalchemy' not in sys.modules;"
        " custody.Client; assert 'prefect' not in sys.modules"
    )
    subprocess.run((sys.executable, "-c", asked), check=True)
    with pytest.raises(AttributeError):
        _ = custody.Nothing


def test_a_program_takes_in_asks_reads_sends_and_destroys(firm: Firm, tmp_path: Path) -> None:
    consents, customers = tmp_path / "consents.csv", tmp_path / "customers.csv"
    consents.write_text(consents_csv(), encoding="utf-8")
    customers.write_bytes(customers_csv([2, 3, 4], broken=0).encode("gb18030"))
    words = WORDS.encode()
    own = open_person_key(Path(firm.hire("王", "business")), words)
    approvers = [open_person_key(Path(firm.hire(name, "approver")), words) for name in ("赵", "钱")]
    with opened() as installation, custody.Client.open(lambda: installation, name="t") as client:
        client.ingest_file("legacy_consents", consents)
        taken = client.ingest_file("legacy_customers", customers)
        assert taken.stored + taken.unchanged == 3
        session = client.login(own, tmp_path / "session")
        until = (installation.now() + timedelta(days=30)).replace(microsecond=0)
        ask = Ask(
            kind=USE,
            dataset="customers",
            purpose="insurance_service",
            fields={"customer_no": CLEAR, "mobile": MASKED},
            until=until,
        )
        request, decision = client.request(session, ask)
        assert decision.verdict is Verdict.PERMITTED
        shown = client.read(session, client.grant(request).id)
        assert set(NUMBERS[1:4]) <= {row.values["customer_no"] for row in shown.rows}
        sending = Ask(
            kind=TRANSFER,
            dataset="customers",
            purpose="partner_service",
            fields={"name": CLEAR},
            until=until,
            recipient="rescue_partner",
        )
        request, decision = client.request(session, sending)
        assert decision.verdict is Verdict.NEEDS_APPROVAL
        view = client.show_request(request)
        assert [client.approve(key, view).votes for key in approvers] == [1, 2]
        assert client.deliver(request).rows == view.request.rows
        whose = {
            "customer_no": "K555",
            "purpose": "customer_care",
            "kind": "purpose",
            "given_at": "2026-03-01T10:00:00+08:00",
        }
        customer = client.record_consent("legacy_customers", whose)
        assert len(client.consents(customer)) == 1
        assert client.withdraw_consent(customer, "customer_care") == 1
        plan = client.plan_destruction(customer=customer)
        assert plan.summary["records"] == 0
        assert client.verify(deep=True).ledger.head.size > 0
