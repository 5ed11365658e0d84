"""What every act is given: the open installation, and who acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from custody.keys.keyring import Keyring
from custody.outside.places import Outside
from custody.policy.model import Policy
from custody.retention import day_in
from custody.suites import Suite

Established: TypeAlias = Literal["signed", "os-user", "schedule", "event", "unidentified"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Custody:
    """An open installation: its databases, its keys, its policy and its clock.

    Attributes:
        zone: The zone in which days and quarters are counted, fixed when it was created.
        synthetic: Whether it holds invented people only; then plans of the future may be applied.
        environment: What ``${NAME}`` in a source's location stands for.
        outbox: The folder into which packages to recipients are delivered.
        outside: Where checkpoints of the ledger are kept.
        chunk_rows: How many rows are claimed, done and committed together.
    """

    installation_id: UUID
    synthetic: bool
    zone: ZoneInfo
    data: Engine
    keyring: Keyring
    policy: Policy
    clock: Callable[[], datetime]
    outbox: Path
    outside: Outside
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    chunk_rows: int = 10_000

    @property
    def suite(self) -> Suite:
        """The suite under which the policy has custody seal."""
        return self.policy.settings.suite

    @property
    def hash_name(self) -> str:
        """The hash by which digests of requests are made, fixed when it was created."""
        return self.keyring.tags.hash_name

    def now(self) -> datetime:
        """Return the present instant."""
        return self.clock()

    def today(self) -> date:
        """Return the present day in the installation's zone."""
        return day_in(self.zone, self.clock())


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who acts, how that was established, and in which flow run.

    Attributes:
        how: ``signed`` by a person's key, the ``os-user`` of a command, a ``schedule``, an
            ``event``, or ``unidentified``: the Prefect UI, which knows no users.
        name: The person's identifier or the OS user's name; empty where nobody is known.
        run_id: The flow run's id, empty outside a run.
    """

    how: Established
    name: str = ""
    run_id: str = ""
