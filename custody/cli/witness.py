"""``custody witness``: a second pair of eyes on another host, which cosigns checkpoints.

A witness needs no database and no keys of the installation, only its own folder.
"""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from custody.cli.groups import Group
from custody.cli.output import show
from custody.cli.session import opened
from custody.errors import UsageError

app = Group("witness", "Cosign the checkpoints of ledgers, on a host of its own.")
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The witness's own folder.")]
_PORTS: Final = range(65536)


@app.offers("init")
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="How it is called, such as witness.example/w1.")],
) -> None:
    """Make a witness with a key of its own, and print the key to verify it with."""
    from custody.outside.witness import Witness

    made = Witness.create(folder, name)
    show({"witness_key": str(made.key), "folder": folder}, "witness_made")


@app.offers("trust")
def trust(
    folder: Folder,
    key: Annotated[str, typer.Argument(help="What custody witness log-key prints.")],
) -> None:
    """Let the witness cosign the checkpoints of a ledger."""
    from custody.note import VerifierKey
    from custody.outside.witness import Witness

    log = VerifierKey.parse(key)
    Witness.open(folder).trust(log)
    show({"log": log.name, "folder": folder}, "witness_trusts")


@app.offers("run")
def run(
    folder: Folder,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where it answers.")
    ] = "127.0.0.1:8411",
) -> None:
    """Answer until Ctrl-C or SIGTERM.

    It speaks C2SP tlog-witness over HTTP; TLS is a proxy's work.
    """
    from config.installation import now
    from custody.outside.witness import Witness
    from custody.outside.witness_server import WitnessServer

    address = _address(listen)
    witness = Witness.open(folder)
    with witness.alone():
        try:
            server = WitnessServer(address, witness, now)
        except OSError:
            raise UsageError("the address cannot be had", listen) from None
        with server:
            host, port = server.server_address[:2]
            document = {"url": f"http://{host!s}:{port}", "witness_key": str(witness.key)}
            show(document, "witness_runs")
            sys.stdout.flush()
            server.serve_forever()


@app.offers("log-key")
def log_key() -> None:
    """Print the key that verifies this installation's checkpoints."""
    from custody.acts.checkpoints import log_key as key_of

    with opened(to_look=True) as custody:
        key = key_of(custody)
    show({"log_key": str(key)})


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) in _PORTS):
        raise UsageError("an address is given as HOST:PORT", listen)
    return host.strip("[]"), int(port)
