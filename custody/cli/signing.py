"""People's keys on this computer: key files, their passphrases, and the session of the day."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from custody.cli.manner import is_interactive
from custody.cli.output import text
from custody.cli.session import load_settings
from custody.errors import UsageError

if TYPE_CHECKING:
    from custody.keys.person import PersonKey
    from custody.keys.session import SessionKey

PASSPHRASE_FILE: Final = "CUSTODY_PERSON_PASSPHRASE_FILE"  # noqa: S105 - names a file
KEY_FILE: Final = "CUSTODY_PERSON_KEY_FILE"
SESSION_FILE: Final = "CUSTODY_SESSION_FILE"
OFFICER_PASSPHRASE_FILE: Final = "CUSTODY_OFFICER_PASSPHRASE_FILE"  # noqa: S105 - likewise
OWN_VARIABLES: Final = (PASSPHRASE_FILE, OFFICER_PASSPHRASE_FILE, KEY_FILE, SESSION_FILE)

KeyOption = Annotated[
    Path,
    typer.Option("--key", envvar=KEY_FILE, help="Your key file; it stays with you."),
]
SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session",
        envvar=SESSION_FILE,
        help="The file of your session; by default people/session in the home.",
    ),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--person-passphrase-file",
        envvar=PASSPHRASE_FILE,
        help="A file whose first line is the passphrase of your key; without it you are asked.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def session_path(chosen: Path | None) -> Path:
    """Return where the session's file lies."""
    return chosen or load_settings().home / "people" / "session"


def read_own_session(chosen: Path | None) -> "SessionKey":
    """Return the session of this computer's user.

    Raises:
        UsageError: Nobody is logged in.
    """
    from custody.keys.session import read_session

    return read_session(session_path(chosen))


def open_key(path: Path, passphrase_file: Path | None) -> "PersonKey":
    """Open a key file under the passphrase of the file, or the one that is typed."""
    from custody.keys.person import open_person_key

    return open_person_key(path, passphrase(passphrase_file, who=path.stem))


def passphrase(file: Path | None, *, who: str, line: int = 0, new: bool = False) -> bytes:
    """Return a passphrase: from a line of the file, or typed.

    Args:
        file: One passphrase a line; the last line stands for all behind it.
        who: Whose passphrase is asked for.
        line: Which line, counted from 0.
        new: Ask twice, because a slip would lock the key for ever.

    Raises:
        UsageError: There is no file, and nobody to ask.
    """
    if file is not None:
        return _from_file(file, line)
    if not is_interactive():
        raise UsageError("no passphrase: there is no terminal to ask at; set", PASSPHRASE_FILE)
    question = text("ask_new_passphrase" if new else "ask_passphrase", who=who)
    typed = typer.prompt(question, hide_input=True, confirmation_prompt=new, err=True)
    return str(typed).encode()


def confirm(question: str, *, yes: bool, **values: str | int) -> None:
    """Ask whether to go on.

    Raises:
        UsageError: Nobody can be asked, and ``--yes`` was not given.
    """
    if yes:
        return
    if not is_interactive():
        raise UsageError("there is no terminal to confirm at; look first, then add", "--yes")
    if not typer.confirm(text(question, **values), err=True):
        raise typer.Abort


def private_folder(path: Path) -> Path:
    """Return the folder, made for its owner alone where it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_new(path: Path, content: bytes) -> None:
    """Write a file for its owner alone.

    Raises:
        UsageError: Something is there already.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        raise UsageError("the file cannot be made, or is there already", path.name) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _from_file(file: Path, line: int) -> bytes:
    try:
        lines = [one for one in file.read_bytes().splitlines() if one]
    except OSError:
        raise UsageError("the passphrase file cannot be read", file.name) from None
    if not lines:
        raise UsageError("the passphrase file is empty", file.name)
    return lines[min(line, len(lines) - 1)]
