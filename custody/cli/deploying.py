"""Deploying the flows: Prefect's own command on the packaged ``prefect.yaml``."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from config.settings import Settings
from custody.embedded.home import Home
from custody.embedded.processes import client_environment
from custody.embedded.runtime import Running
from custody.errors import CustodyError

FLOWS: Final = (
    *("ingest", "store", "use", "transfer", "destroy"),
    *("turn", "close-period", "rekey", "retag"),
)


class DeployFailedError(CustodyError):
    """Prefect did not accept the deployments; its own words are in the log."""

    code = "deploy_failed"

    def __str__(self) -> str:
        """Return where to look."""
        return "Prefect did not accept prefect.yaml"


def deployments_file() -> Path:
    """Return the committed ``prefect.yaml``, from the repository or the installed package."""
    return Path(str(files("deployments") / "prefect.yaml"))


def begin_deploying(settings: Settings, where: Running) -> "subprocess.Popen[bytes]":
    """Start deploying and return at once; it takes some seconds that others can use."""
    home = Home.open(settings.home)
    environment = client_environment(
        _environment(settings), api_url=where.prefect_api_url or "", home=home
    )
    command = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")
    with home.log("deploy").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and file
            (*command, "--prefect-file", str(deployments_file())),
            cwd=home.temporary,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def finish_deploying(deploying: "subprocess.Popen[bytes]") -> None:
    """Wait until the deployments are made, and close them to parameters that they do not have.

    Raises:
        DeployFailedError: They are not.
    """
    if deploying.wait() != 0:
        raise DeployFailedError
    _refuse_unknown_parameters()


def _refuse_unknown_parameters() -> None:
    """Have the server refuse parameters that a flow does not have.

    It keeps the parameters of every run it accepts for good, and accepts unknown ones unless the
    description of the known ones says that these are all; Prefect's own command cannot say so.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    with get_client(sync_client=True) as client:
        for flow in FLOWS:
            deployment = client.read_deployment_by_name(f"{flow}/{flow}")
            known = deployment.parameter_openapi_schema or {}
            schema = {**known, "additionalProperties": False}
            change = DeploymentUpdate(parameter_openapi_schema=schema)
            client.update_deployment(deployment.id, change)


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "CUSTODY_HOME": str(settings.home)}
