"""From settings to an open installation: the one place where the parts are put together."""

import atexit
import os
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

from config.settings import Settings, load_settings, wanted
from custody.acts.context import Custody
from custody.acts.setup import Places, open_custody
from custody.embedded.launch import forbid_core_dumps
from custody.embedded.runtime import Running, running
from custody.keys.providers import RootPlace
from custody.keys.token import TokenPlace
from custody.note import VerifierKey
from custody.outside.places import in_folders
from custody.outside.witness_client import WitnessPlace
from custody.policy.load import load_policy
from custody.policy.model import Policy


def policy_folder(settings: Settings) -> Path:
    """Return the folder of the policy: the one set, the home's own, or the example."""
    if settings.policy is not None:
        return settings.policy
    own = settings.home / "policy"
    return own if own.is_dir() else Path(str(files("config") / "policy"))


def places(settings: Settings, where: Running) -> Places:
    """Return where the installation's parts are."""
    keys = settings.home / "keys"
    return Places(
        data_url=where.database_url,
        keys_url=where.keys_url,
        keystore=keys / "keystore.json",
        root=RootPlace(
            key_file=settings.key_file or keys / "root.key",
            passphrase=_first_line(settings.passphrase_file),
            token=_token(settings),
            kind=settings.key_provider,
        ),
        outbox=settings.home / "outbox",
        outside=in_folders(
            settings.checkpoints or settings.home / "checkpoints", keys, _witness(settings)
        ),
    )


def open_with(settings: Settings, where: Running, policy: Policy | None = None) -> Custody:
    """Open the installation on servers that are running; from then on, no core dumps.

    Args:
        policy: The policy to open it under; by default that of the folder.
    """
    forbid_core_dumps()
    return open_custody(
        places(settings, where),
        policy or load_policy(policy_folder(settings)),
        now,
        environment=os.environ,
        chunk_rows=settings.chunk_rows,
    )


@cache
def open_installation() -> Custody:
    """Open the installation of this process, once; servers it started end with the process."""
    settings = load_settings()
    stack = ExitStack()
    atexit.register(stack.close)
    where = stack.enter_context(running(wanted(settings)))
    return open_with(settings, where)


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def _witness(settings: Settings) -> WitnessPlace | None:
    """Return where the witness answers, None where none is named."""
    if settings.witness_url is None or settings.witness_key is None:
        return None
    return WitnessPlace(
        url=settings.witness_url.get_secret_value(), key=VerifierKey.parse(settings.witness_key)
    )


def _token(settings: Settings) -> TokenPlace | None:
    """Return where the token is, None where none is named."""
    pin = _first_line(settings.pkcs11_pin_file)
    if settings.pkcs11_module is None or pin is None:
        return None
    return TokenPlace(module=settings.pkcs11_module, label=settings.pkcs11_token, pin=pin.decode())


def _first_line(file: Path | None) -> bytes | None:
    """Return the first line of a file with a secret."""
    return None if file is None else file.read_bytes().partition(b"\n")[0].rstrip(b"\r")
