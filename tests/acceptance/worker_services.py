"""Prefect worker services, started as a firm starts them, and what they hold of memory."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from owners import parent_of
from running_stack import Stack
from schedules import Api, deployment_named
from standing_firm import ENDED, wait_until

from custody.cli.deploying import deployments_file

POOL: Final = "custody"  # the deployments name it
_LOOK_SECONDS: Final = 0.2
_END_SECONDS: Final = 20
_MEGA: Final = 1024  # kB, as proc(5) counts


@dataclass(kw_only=True)
class Services:
    """The worker services of a test, and their server's API.

    Attributes:
        peaks: The most kilobytes that each process held, of the services and what they started.
        owners: The service to which each of these processes belongs.
    """

    api: Api
    workers: Sequence["subprocess.Popen[bytes]"]
    peaks: dict[int, int] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)

    def start(self, stage: str, **parameters: object) -> str:
        """Start a run of a deployment and return its id."""
        path = f"/deployments/{deployment_named(self.api, stage, stage)}/create_flow_run"
        return str(self.api.ask(path, {"parameters": parameters})["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as Prefect has it."""
        found: dict[str, Any] = self.api.ask(f"/flow_runs/{run_id}")
        return found

    def completed(self, run_id: str) -> None:
        """Wait until a run has ended well."""
        ended = wait_until(lambda: self.run(run_id), lambda run: run["state_type"] in ENDED)
        assert ended["state_type"] == "COMPLETED", ended["state"]

    def at_step(self, step: str, run_ids: Sequence[str]) -> None:
        """Wait until all of these runs are at a step."""
        wanted = {
            "flow_runs": {"id": {"any_": list(run_ids)}},
            "task_runs": {"name": {"like_": step}, "state": {"type": {"any_": ["RUNNING"]}}},
        }

        def there() -> set[str]:
            return {one["flow_run_id"] for one in self.api.ask("/task_runs/filter", wanted)}

        wait_until(there, set(run_ids).__eq__)

    def worker_of(self, run_id: str) -> int:
        """Return the process number of the worker service that executed a run."""
        return self.owners[self.process_of(run_id)]

    def process_of(self, run_id: str) -> int:
        """Return the process number of a run itself."""
        return int(str(self.run(run_id)["infrastructure_pid"]).rpartition(":")[2])

    def megabytes(self, run_id: str) -> tuple[float, float]:
        """Return the most that the service of a run held, and the run's own process.

        Not what else descends from them: a program that a run starts, a compiler's version asked
        for say, shares its memory for the moment before it begins, and would be counted twice.
        """
        run = self.process_of(run_id)
        return self.peaks[self.owners[run]] / _MEGA, self.peaks[run] / _MEGA

    def look(self) -> None:
        """Note the peaks of all services and of all that descends from them."""
        parents = _parents()
        for one in self.workers:
            family = {one.pid}
            while more := {n for n, parent in parents.items() if parent in family} - family:
                family |= more
            for number in family:
                with suppress(OSError, StopIteration):  # it ended meanwhile
                    self.peaks[number] = max(self.peaks.get(number, 0), _peak(number))
                    self.owners[number] = one.pid


@contextmanager
def services(stack: Stack, count: int, variables: Mapping[str, str]) -> Iterator[Services]:
    """Deploy ingest and store and run so many worker services, which take one run at a time.

    Args:
        stack: Where Prefect's server runs.
        count: How many.
        variables: The variables of the installation they work for.
    """
    api = Api(url=stack.api_url, home=stack.home)
    api.ask("/work_pools/", {"name": POOL, "type": "process"})
    with ExitStack() as ending:
        workers = [_started(stack, place, variables, ending) for place in range(count)]
        _deploy(stack)
        made = Services(api=api, workers=workers)
        over = threading.Event()
        looking = threading.Thread(target=_keep_looking, args=(made, over))
        looking.start()
        try:
            yield made
        finally:
            over.set()
            looking.join()


def _started(
    stack: Stack, place: int, variables: Mapping[str, str], ending: ExitStack
) -> "subprocess.Popen[bytes]":
    log = ending.enter_context((stack.folder / f"worker-{place}.log").open("wb"))
    name = ("--name", f"worker-{place}", "--pool", POOL, "--type", "process", "--limit", "1")
    command = ("prefect", "worker", "start", *name)
    started = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=stack.environment(PREFECT_WORKER_QUERY_SECONDS="1", **variables),
        cwd=stack.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    ending.callback(_end, started)
    return started


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _deploy(stack: Stack) -> None:
    chosen = ("-n", "ingest", "-n", "store", "--prefect-file", str(deployments_file()))
    done = stack.run("-m", "prefect", "--no-prompt", "deploy", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr


def _keep_looking(made: Services, over: threading.Event) -> None:
    while not over.wait(_LOOK_SECONDS):
        made.look()


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            found[int(entry.name)] = parent_of(int(entry.name))
    return found


def _peak(number: int) -> int:
    """Return the most kilobytes a process held so far, as proc(5) has it."""
    lines = Path(f"/proc/{number}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
