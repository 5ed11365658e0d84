"""Customers' values where a flow takes an identifier: in a call, and through Prefect's own API."""

from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from flows.destroy import destroy
from flows.ingest import ingest
from flows.store import store
from flows.transfer import transfer
from flows.use import use
from tasks.stage import ParametersInvalidError, Stage

DRAFT = {"dataset": "customers", "purpose": "insurance_service", "fields": ["name"]}


def wrong(value: str) -> list[tuple[Stage[Any, Any], dict[str, Any]]]:
    """Return flows with parameters they must refuse."""
    return [
        (ingest, {"source": f"/data/{value}.csv"}),
        (ingest, {"source": f"postgresql://user:{value}@host/db"}),
        (ingest, {"source": "legacy_customers", "batch_id": value}),
        (ingest, {"source": "legacy_customers", "dry_run": value}),
        (ingest, {"source": "legacy_customers", value: value}),
        (store, {"batch_id": value}),
        (store, {"batch_id": {value: [value]}}),
        (destroy, {"plan_id": value}),
        (use, {"request_id": value}),
        (use, {"draft": {**DRAFT, "customers": [value]}}),
        (use, {"draft": {**DRAFT, "fields": [value]}}),
        (use, {"draft": {**DRAFT, value: value}}),
        (use, {"draft": {**DRAFT, "show": value}}),
        (use, {"draft": {**DRAFT, "days": value}}),
        (use, {"draft": value}),
        (transfer, {"draft": {**DRAFT, "recipient": value}}),
        (transfer, {"draft": {**DRAFT, "recipient": "rescue_partner", "form": value}}),
    ]


def give_wrong_parameters(value: str) -> dict[str, int]:
    """Give them all, both ways, and return how many were refused."""
    called = sum(_is_refused(flow, given) for flow, given in wrong(value))
    with get_client(sync_client=True) as client:
        deployments = {flow.name: _deployed(client, flow) for flow, _ in wrong(value)}
        posted = sum(_is_rejected(client, deployments[f.name], given) for f, given in wrong(value))
    return {"given": len(wrong(value)), "called": called, "posted": posted}


def _is_refused(flow: Stage[Any, Any], given: dict[str, Any]) -> bool:
    try:
        flow(**given)
    except ParametersInvalidError:
        return True
    return False


def _deployed(client: SyncPrefectClient, flow: Stage[Any, Any]) -> Any:
    return client.create_deployment(
        flow_id=client.create_flow(flow),
        name="canary",
        # As custody deploys them (custody/cli/deploying.py).
        parameter_openapi_schema={**flow.parameters.model_dump(), "additionalProperties": False},
        enforce_parameter_schema=True,
    )


def _is_rejected(client: SyncPrefectClient, deployment: Any, given: dict[str, Any]) -> bool:
    try:
        client.create_flow_run_from_deployment(deployment, parameters=given)
    except PrefectHTTPStatusError:
        return True
    return False
