"""The open installation of this process, and who is acting in the present flow run."""

import getpass
from functools import cache

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from config.installation import open_installation
from custody.acts.context import Actor, Custody

_AUTOMATION = "AUTOMATION"


@cache
def custody() -> Custody:
    """Return the installation, opened once per process."""
    return open_installation()


def actor() -> Actor:
    """Return who started the present run."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        return Actor(how="os-user", name=getpass.getuser())
    return actor_of(run)


def actor_of(run: FlowRun) -> Actor:
    """Return who started ``run``, as far as Prefect knows.

    A run of a deployment that neither the schedule nor an automation started comes from somebody at
    Prefect's API or UI, where everybody is the same: unidentified, never inferred.
    """
    run_id = str(run.id)
    if run.deployment_id is None:
        return Actor(how="os-user", name=getpass.getuser(), run_id=run_id)
    if run.auto_scheduled:
        return Actor(how="schedule", run_id=run_id)
    if run.created_by is not None and run.created_by.type == _AUTOMATION:
        return Actor(how="event", name=run.created_by.display_value or "", run_id=run_id)
    return Actor(how="unidentified", run_id=run_id)
