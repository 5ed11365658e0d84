"""What ``custody up`` does itself: give entries their places within a second, keep checkpoints."""

import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from custody.cli.output import note
from custody.cli.session import installation, vouch

if TYPE_CHECKING:
    from config.settings import Settings
    from custody.acts.context import Custody
    from custody.embedded.runtime import Running

_CHECKPOINT_SECONDS: Final = 60.0
_OPEN_SECONDS: Final = 5.0


class Resident:
    """Keeps the ledger's tree and its checkpoints up to date while ``custody up`` runs.

    A database that is away for a while is waited for. One that refuses, or a ledger that
    contradicts its checkpoints, is not: nothing may go on as if all were in order.
    """

    def __init__(self, settings: "Settings", where: "Running") -> None:
        """Take where the installation is, which may not have been created yet."""
        self._settings, self._where = settings, where
        self._open = ExitStack()
        self._custody: Custody | None = None
        self._next_open = self._next_checkpoint = 0.0
        self._is_away = False

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the installation, with a last checkpoint unless something went wrong."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):  # how it ends in good order
            self._open.close()
        else:
            self._open.__exit__(kind, error, trace)

    def tick(self) -> None:
        """Do what is due; to be called twice a second.

        Raises:
            CheckpointContradictedError: The ledger, or the witness, contradicts a checkpoint.
            LedgerBrokenError: What the database keeps of the tree has holes.
        """
        from custody.database.engine import DatabaseError

        try:
            self._tick()
        except DatabaseError as error:
            if not error.is_connection:
                raise
            if not self._is_away:
                note("database_away")
            self._is_away = True
        else:
            self._is_away = False

    def _tick(self) -> None:
        from custody.acts.checkpoints import bring_up_to_date

        custody = self._opened()
        if custody is None:
            return
        bring_up_to_date(custody)
        if time.monotonic() >= self._next_checkpoint:
            vouch(custody)
            self._next_checkpoint = time.monotonic() + _CHECKPOINT_SECONDS

    def _opened(self) -> "Custody | None":
        """Return the installation, None while there is none."""
        from custody.acts.setup import NotInitialisedError

        if self._custody is None and time.monotonic() >= self._next_open:
            self._next_open = time.monotonic() + _OPEN_SECONDS
            try:
                opening = installation(self._settings, self._where)
                self._custody = self._open.enter_context(opening)
            except NotInitialisedError:
                return None
        return self._custody
