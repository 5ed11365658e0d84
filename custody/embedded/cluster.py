"""Make the files of the cluster: initdb, its settings, its passwords, its socket folder."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from custody.embedded import binaries
from custody.embedded.endpoints import Role
from custody.embedded.errors import ServiceFailedError
from custody.embedded.home import Home, is_private_folder, write_private
from custody.embedded.launch import Identity, command, owner_number

# A socket's whole path has 107 bytes; `/.s.PGSQL.5432` and, while starting, `.lock` come on top.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")
# libpq splits a host at commas and SQLAlchemy at colons.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")

# The log holds no statement, no parameter and no row: errors of the server quote values, so they
# are not logged at all (LOG ranks above ERROR in the log); the client gets and translates them.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "ssl": "off",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Full pages are logged anew after every checkpoint, so a large load had better see few.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "jit": "off",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_statement": "none",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_lock_waits": "off",
    "log_temp_files": "-1",
    "log_autovacuum_min_duration": "-1",
    "log_checkpoints": "off",
    "debug_print_parse": "off",
}
HBA = "local all all scram-sha-256\n"


def create(home: Home, identity: Identity) -> None:
    """Make the cluster and its passwords, whole or not at all, unless it exists."""
    if not home.cluster.exists():
        for role in Role:
            write_private(home.passwords / role.value, f"*:*:*:*:{secrets.token_hex(32)}\n")
        _run_initdb(home, identity)
    _hand_over(home.cluster, owner_number(identity))


def password(home: Home, role: Role) -> str:
    """Return the password of a role from its file."""
    text = (home.passwords / role.value).read_text(encoding="ascii")
    return text.strip().rpartition(":")[2]


def configure(home: Home, socket_dir: Path, settings: Mapping[str, str]) -> None:
    """Write the settings anew, so that every start has those of this version of custody."""
    chosen = {**SETTINGS, "unix_socket_directories": str(socket_dir), **settings}
    lines = (f"{name} = '{value}'\n" for name, value in chosen.items())
    _rewrite(home.cluster / "postgresql.conf", "".join(lines))
    _rewrite(home.cluster / "pg_hba.conf", HBA)


def socket_folder(home: Home) -> Path:
    """Return the folder of the socket: below the home, or a recorded private temporary one."""
    inside = home.run / "socket"
    if fits_socket(inside):
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    record = home.run / "socket_folder"
    if record.exists():
        recorded = Path(record.read_text(encoding="utf-8"))
        if is_private_folder(recorded):
            return recorded
    made = Path(tempfile.mkdtemp(prefix="custody-", dir=_short_temporary_folder()))
    write_private(record, str(made))
    return made


def published_socket_folder(home: Home) -> Path:
    """Return the folder that a running server uses."""
    record = home.run / "socket_folder"
    return Path(record.read_text(encoding="utf-8")) if record.exists() else home.run / "socket"


def forget_socket_folder(home: Home) -> None:
    """Remove the temporary folder of a stopped server."""
    record = home.run / "socket_folder"
    if not record.exists():
        return
    recorded = Path(record.read_text(encoding="utf-8"))
    if is_private_folder(recorded):
        shutil.rmtree(recorded)
    record.unlink()


def fits_socket(folder: Path) -> bool:
    """Return whether a socket below the folder can be named by every client."""
    return len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and bool(
        PLAIN_PATH.fullmatch(str(folder))
    )


def _short_temporary_folder() -> str:
    usual = Path(tempfile.gettempdir())
    return str(usual) if fits_socket(usual / "custody-12345678") else "/tmp"  # noqa: S108


def _run_initdb(home: Home, identity: Identity) -> None:
    draft = home.postgres / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    os.chown(draft, owner_number(identity), -1)
    options = (
        f"--pgdata={draft}",
        f"--username={Role.ADMIN.value}",
        "--pwfile=/dev/stdin",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )
    outcome = subprocess.run(  # noqa: S603  (a fixed program)
        command(identity, signal.SIGKILL, binaries.program("initdb"), *options),
        check=False,
        input=f"{password(home, Role.ADMIN)}\n",
        capture_output=True,
        text=True,
        env=binaries.ENVIRONMENT,
    )
    if outcome.returncode != 0:
        log = home.log("postgres")
        write_private(log, outcome.stdout + outcome.stderr)
        raise ServiceFailedError("postgres", "could not make its cluster", str(log))
    draft.rename(home.cluster)


def _rewrite(path: Path, text: str) -> None:
    """Write into the existing file, which keeps its owner."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)


def _hand_over(cluster: Path, owner: int) -> None:
    """Give the files to whom this start runs as, where an earlier one ran as somebody else."""
    if cluster.stat().st_uid == owner:
        return
    for folder, folders, files in os.walk(cluster):
        for name in (*folders, *files):
            os.lchown(Path(folder) / name, owner, -1)
    os.chown(cluster, owner, -1)
