"""Ask a Prefect server for the runs that a schedule is to make, through its HTTP API only."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from custody.embedded import http
from custody.embedded.access import authorization
from custody.embedded.home import Home

SECONDS = 90


@dataclass(frozen=True, kw_only=True)
class Api:
    """The API of a home's own server, asked by somebody who may read the home."""

    url: str
    home: Path

    def ask(self, path: str, body: object = None) -> Any:
        allowed = authorization(Home.open(self.home), self.url, os.environ)
        return http.ask(self.url, path, body, authorization=allowed)


def call(
    api_url: str, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> tuple[int, bytes]:
    """Return the status and the text of an answer, whatever they are."""
    where = urlsplit(api_url)
    connection = HTTPConnection(str(where.hostname), where.port, timeout=30)
    sent = None if body is None else json.dumps(body)
    try:
        connection.request(
            method, where.path + path, sent, {"Content-Type": "application/json", **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def deploy_cron(api: Api, name: str, cron: str = "0 2 * * *") -> str:
    """Deploy an empty flow on a cron schedule and return the deployment's identifier."""
    flow = api.ask("/flows/", {"name": name})
    schedule = {"cron": cron, "timezone": "Asia/Shanghai"}
    deployment = api.ask(
        "/deployments/",
        {
            "name": name,
            "flow_id": flow["id"],
            "schedules": [{"active": True, "schedule": schedule}],
        },
    )
    return str(deployment["id"])


def deployment_named(api: Api, flow: str, name: str) -> str:
    """Return the identifier of a deployment that exists already."""
    return str(api.ask(f"/deployments/name/{flow}/{name}")["id"])


def wait_for_scheduled_runs(
    api: Api, deployment: str, seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Return the runs in state SCHEDULED, as soon as there are any or the time is over."""
    wanted = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    deadline = time.monotonic() + seconds
    while True:
        found: list[dict[str, Any]] = api.ask("/flow_runs/filter", wanted)
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
