"""Names of runs that people can read, with Beijing time: Prefect's UI shows UTC only."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

_BEIJING: Final = ZoneInfo("Asia/Shanghai")


def named_after(*parameters: str) -> Callable[[], str]:
    """Return a namer of flow runs: the flow, the parameters that say what it is about, the time."""

    def name() -> str:
        given = flow_run.parameters
        about = " ".join(str(given[one]) for one in parameters if given.get(one))
        at = datetime.now(_BEIJING).strftime("%m-%d %H:%M:%S +08:00")
        return " · ".join(part for part in (flow_run.flow_name, about, at) if part)

    return name
