"""A process that the commands in one home share: the first starts it, the end of the last stops it.

Use is a shared lock on the lease (see ``locks``), so it ends with the process that took it, also
by SIGKILL; the warden then stops the service. Steps of :meth:`Service.acquire`:

1. Take the lease. While the warden is stopping the service this waits for it.
2. Among those who hold the lease, one at a time:
3. If nothing of the service is alive, prepare, start its warden and hand it the ``alive`` lock.
4. Wait until the service answers; if it dies meanwhile, say so and name its log.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from custody.embedded.errors import ServiceFailedError
from custody.embedded.home import Home
from custody.embedded.locks import (
    LockTimeoutError,
    is_held,
    locked,
    open_lock,
    try_lock,
    unlock,
    wait_for_lock,
)
from custody.embedded.warden import Order

PATIENCE_SECONDS = 90.0
POLL_SECONDS = 0.02
# What a killed server leaves (children still ending, a port) may be in the way for a moment.
STARTS = 3
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """How a service is started and stopped.

    Attributes:
        command: What the warden runs; no secrets, everybody can read command lines.
        environment: The whole environment of the warden and the service.
        stop_signal: What ends it in good order.
        grace_seconds: How long that may take before it is asked once more, then killed.
        using: The leases of the services it needs itself.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 10.0
    using: tuple[Path, ...] = ()


@dataclass(kw_only=True, slots=True)
class Service:
    """One shared process below a home.

    Attributes:
        home: Where its locks and its log lie.
        name: The name of its locks and its log.
        prepare: Called by whoever starts it, with nothing of it alive; returns the program.
        ready: Returns whether the running service answers.
    """

    home: Home
    name: str
    prepare: Callable[[], Program]
    ready: Callable[[], bool]
    _lease: int | None = field(default=None, init=False)

    @property
    def lease(self) -> Path:
        """The file whose shared lock means use."""
        return self._lock_file("lease")

    @property
    def alive(self) -> bool:
        """Whether any process of the service exists."""
        return is_held(self._lock_file("alive"))

    def require_alive(self) -> None:
        """Check that what we use is still there.

        Raises:
            ServiceFailedError: It has ended.
        """
        if not self.alive:
            raise self._failed("ended while it was needed")

    def acquire(self) -> None:
        """Have the service running, and keep it so until :meth:`release` or our own end.

        Raises:
            ServiceFailedError: It did not come up.
        """
        try:
            self._take_lease()
            with locked(self._lock_file("start"), seconds=PATIENCE_SECONDS):
                self._start_or_join()
        except LockTimeoutError:
            self.release(wait=False)
            raise self._failed("is being started or stopped by a process that hangs") from None
        except BaseException:
            self.release(wait=False)
            raise

    def release(self, *, wait: bool = True) -> None:
        """End our use; if it was the last one, wait until the service has stopped."""
        if self._lease is None:
            return
        os.close(self._lease)
        self._lease = None
        if wait:
            self._wait_for_stop()

    def _lock_file(self, kind: str) -> Path:
        return self.home.run / f"{self.name}.{kind}"

    def _failed(self, why: str) -> ServiceFailedError:
        return ServiceFailedError(self.name, why, str(self.home.log(self.name)))

    def _take_lease(self) -> None:
        if self._lease is None:
            self._lease = open_lock(self.lease)
            wait_for_lock(self._lease, seconds=PATIENCE_SECONDS, shared=True)

    def _start_or_join(self) -> None:
        """Find the service answering or start it; the remains of a killed one go first."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        starts = 0
        while not (self.alive and self.ready()):
            if time.monotonic() > deadline:
                raise self._failed("did not answer in time")
            if not self.alive:
                if starts == STARTS:
                    raise self._failed("ended while starting")
                time.sleep(starts * PAUSE_SECONDS)
                self._start()
                starts += 1
            time.sleep(POLL_SECONDS)

    def _start(self) -> None:
        program = self.prepare()
        order = Order(
            lease=self.lease,
            stop_signal=program.stop_signal,
            grace_seconds=program.grace_seconds,
            using=program.using,
            command=tuple(program.command),
        )
        alive = open_lock(self._lock_file("alive"))
        log = os.open(self.home.log(self.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            wait_for_lock(alive, seconds=1)
            # Our own program; it returns as soon as the warden is on its own.
            subprocess.run(  # noqa: S603
                order.arguments(),
                check=True,
                stdin=alive,
                stdout=log,
                stderr=log,
                env=dict(program.environment),
                cwd=self.home.path,
            )
        except subprocess.CalledProcessError:
            raise self._failed("could not be given a warden") from None
        finally:
            os.close(log)
            os.close(alive)

    def _wait_for_stop(self) -> None:
        """Wait while nobody holds the lease, or its warden does, and the service is alive."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        lease = open_lock(self.lease)
        try:
            while self.alive and time.monotonic() < deadline:
                if try_lock(lease):
                    unlock(lease)  # nobody uses it: the warden is about to notice
                elif try_lock(lease, shared=True):
                    return  # somebody else still uses it
                time.sleep(POLL_SECONDS)
        finally:
            os.close(lease)
