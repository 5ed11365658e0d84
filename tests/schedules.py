"""Ask a Prefect server for the runs that a schedule is to make, through its HTTP API only."""

import time
from typing import Any

from custody.embedded.http import ask

SECONDS = 90


def deploy_cron(api_url: str, name: str, cron: str = "0 2 * * *") -> str:
    """Deploy an empty flow on a cron schedule and return the deployment's identifier."""
    flow = ask(api_url, "/flows/", {"name": name})
    schedule = {"cron": cron, "timezone": "Asia/Shanghai"}
    deployment = ask(
        api_url,
        "/deployments/",
        {
            "name": name,
            "flow_id": flow["id"],
            "schedules": [{"active": True, "schedule": schedule}],
        },
    )
    return str(deployment["id"])


def deployment_named(api_url: str, flow: str, name: str) -> str:
    """Return the identifier of a deployment that exists already."""
    return str(ask(api_url, f"/deployments/name/{flow}/{name}")["id"])


def wait_for_scheduled_runs(
    api_url: str, deployment: str, seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Return the runs in state SCHEDULED, as soon as there are any or the time is over."""
    wanted = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    deadline = time.monotonic() + seconds
    while True:
        found: list[dict[str, Any]] = ask(api_url, "/flow_runs/filter", wanted)
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
