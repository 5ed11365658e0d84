"""The program ``custody``: all its commands, and the one place where errors become exit codes.

Nothing here or in the modules of the commands imports a heavy library at the top, so help answers
at once; what a command needs it imports when it runs.
"""

import os
import sys
from collections.abc import Callable, Sequence

import typer

from custody.cli import (
    bench,
    certificate,
    consent,
    coverage,
    customer,
    demo,
    destroy,
    evidence,
    explain,
    history,
    hold,
    ingest,
    keys,
    ledger,
    login,
    policy,
    quality,
    quarantine,
    read,
    staff,
    starting,
    status,
    store,
    transfer,
    up,
    use,
    verify,
    vote,
    witness,
)
from custody.cli.faults import EXIT_INTERRUPTED, report
from custody.cli.groups import Group
from custody.cli.manner import Manner, speak, take_manner
from custody.errors import CustodyError
from tasks.interruption import note_interruptions

app = Group(
    "custody",
    "Keep customers' information under control from collection to destruction, and prove it.",
)
_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("demo", demo.demo),
    ("init", starting.init),
    ("migrate", starting.migrate),
    ("up", up.up),
    ("down", up.down),
    ("status", status.status),
    ("doctor", status.doctor),
    ("explain", explain.explain),
    ("store", store.store),
    ("login", login.login),
    ("logout", login.logout),
    ("read", read.read),
    ("approve", vote.approve),
    ("reject", vote.reject),
    ("event", hold.event),
    ("verify", verify.verify),
    ("bench", bench.bench),
    ("coverage", coverage.coverage),
    ("rekey", coverage.rekey),
)
_GROUPS = (
    policy.app,
    consent.app,
    ingest.app,
    quarantine.app,
    staff.app,
    use.app,
    transfer.app,
    destroy.app,
    hold.app,
    certificate.app,
    customer.app,
    keys.app,
    witness.app,
    history.app,
    evidence.app,
    quality.app,
    ledger.app,
)
for _name, _command in _COMMANDS:
    app.offers(_name)(_command)
for _group in _GROUPS:
    app.add_typer(_group)


@app.callback(epilog="Everywhere: --json, --quiet, --lang zh|en, --debug; see docs/cli.md.")
def custody() -> None:
    """Keep customers' information under control from collection to destruction, and prove it."""


def run(given: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing is raised."""
    speak(Manner(json="--json" in given))
    try:
        manner, rest = take_manner(given)
        speak(manner)
        outcome = typer.main.get_command(app).main(rest, prog_name="custody", standalone_mode=False)
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except (CustodyError, KeyboardInterrupt) as error:
        return report(error)
    except Exception as error:  # noqa: BLE001 - the border to people: its text may hold values
        return report(error)
    if outcome == EXIT_INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
        return report(KeyboardInterrupt())
    return outcome if isinstance(outcome, int) else 0


def main() -> None:
    """Be the program.

    SIGTERM ends it as Ctrl-C does, so that nothing it started is left behind; and what it and its
    libraries write is for its user alone.
    """
    note_interruptions()
    os.umask(0o077)
    sys.exit(run(sys.argv[1:]))


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere: whoever read our output has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
