"""One firm for all acceptance tests that ask a running custody, and what it is made to do."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from standing_firm import Firm, standing

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = "01m8540t40ebh8gn5ce4b69yfj"


@pytest.fixture(scope="session")
def firm() -> Iterator[Firm]:
    """Return custody up and deployed, with a small legacy system waiting in files."""
    home = Path(tempfile.mkdtemp(prefix="cus-"))
    folder = Path(os.environ.get("CUSTODY_CHINOOK", ROOT.parent / "shared" / "data" / "chinook"))
    try:
        with standing(home, folder if folder.is_dir() else None) as up:
            yield up
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def runs(firm: Firm, chinook: Path) -> dict[str, str]:  # noqa: ARG001 - the firm took its copy
    """Start one run of each kind through the API, let them run together, and return their ids."""
    started = {
        "ingest": firm.start("ingest", source="chinook_customers"),
        "use draft": firm.start("use", draft=_draft("insurance_service")),
        "transfer draft": firm.start(
            "transfer", draft=_draft("partner_service", recipient="rescue_partner")
        ),
        "unknown batch": firm.start("store", batch_id=f"batch_{UNKNOWN}"),
        "unknown plan": firm.start("destroy", plan_id=f"plan_{UNKNOWN}"),
        "unknown request": firm.start("use", request_id=f"req_{UNKNOWN}"),
    }
    started["empty form"] = firm.start("transfer")
    started["tampered with"] = firm.start("use", request_id=f"req_{UNKNOWN}")
    firm.ended(started["ingest"])
    started["store"] = firm.start("store", batch_id=firm.batch("chinook_customers"))
    started["second ingest"] = firm.start("ingest", source="chinook_invoices")
    for name in ("store", "second ingest"):
        firm.ended(started[name])
    # Somebody has keys by now.
    started["turn"] = firm.start("turn", everything=True)
    started["rekey"] = firm.start("rekey", suite="aes-256-gcm")
    started["retag"] = firm.start("retag")
    started["lasting period"] = firm.start("close-period", period="2099Q4")
    started["second store"] = firm.start("store", batch_id=firm.batch("chinook_invoices"))
    for run_id in started.values():
        firm.ended(run_id)
    return started


def _draft(purpose: str, **more: str) -> dict[str, object]:
    return {"dataset": "customers", "purpose": purpose, "fields": ["customer_no", "name"], **more}
