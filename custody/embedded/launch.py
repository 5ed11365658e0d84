"""Become the process that PostgreSQL or Prefect is to run as, then turn into its program.

``python -I -m custody.embedded.launch IDENTITY SIGNAL PROGRAM ARGUMENT…``

1. No core dumps (threats T6), nothing readable by others.
2. Take on the identity. PostgreSQL refuses to run as root, so root has two ways out (ADR 0003):
   ``namespace``: a user namespace in which our own user bears another number. Outside it the
   process is and stays root without any capability; its files stay root's.
   ``account``: where namespaces are forbidden (most containers), an existing account that keeps
   the one capability it needs to reach the private folder.
3. Ask the kernel for SIGNAL when the parent dies, so that nothing outlives a killed warden. This
   comes after 2, which would forget it.
4. Turn into the program.
"""

import ctypes
import os
import pwd
import resource
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
ACCOUNTS = ("custody", "postgres", "nobody")


class Identity(StrEnum):
    """As whom a program runs."""

    SELF = "self"
    NAMESPACE = "namespace"
    ACCOUNT = "account"


def account() -> pwd.struct_passwd:
    """Return the account that ``account`` and ``namespace`` use: the first that exists.

    Raises:
        KeyError: The machine has none of them, not even ``nobody``.
    """
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    return next((known[name] for name in ACCOUNTS if name in known), None) or pwd.getpwnam("nobody")


def owner_number(identity: Identity) -> int:
    """Return the user number, seen from outside, that owns what the program writes."""
    return account().pw_uid if identity is Identity.ACCOUNT else os.geteuid()


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _enter_namespace() -> None:
    """Give our user another number (one that has a name, which initdb asks for)."""
    user, group, inside = os.geteuid(), os.getegid(), account()
    _call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{inside.pw_uid} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{inside.pw_gid} {group} 1", encoding="ascii")


def _become_account() -> None:
    """Become the account, keeping only the capability to pass the private folder's modes."""
    other = account()
    os.setgroups([])
    os.setresgid(other.pw_gid, other.pw_gid, other.pw_gid)
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    # initdb asks access(2) whether it may run its programs, which looks at capabilities only so.
    with suppress(PermissionError):
        _call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setresuid(other.pw_uid, other.pw_uid, other.pw_uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    only = 1 << CAP_DAC_OVERRIDE
    # Two 32-bit halves of (effective, permitted, inheritable).
    _call("capset", header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0))
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def forbid_core_dumps() -> None:
    """Let this process leave no image of its memory on a disk: keys are in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def main(arguments: list[str]) -> None:
    """Turn into the program; returns only by raising."""
    identity, death_signal, *command = arguments
    forbid_core_dumps()
    os.umask(0o077)
    if identity == Identity.NAMESPACE:
        _enter_namespace()
    elif identity == Identity.ACCOUNT:
        _become_account()
    _call("prctl", PR_SET_PDEATHSIG, int(signal.Signals[death_signal]), 0, 0, 0)
    os.execv(command[0], command)  # noqa: S606  (a fixed program of ours, no shell wanted)


def command(identity: Identity, death_signal: signal.Signals, *program: str) -> tuple[str, ...]:
    """Return the command line that runs ``program`` as ``identity``."""
    launcher = (sys.executable, "-I", "-m", "custody.embedded.launch")
    return (*launcher, identity.value, death_signal.name, *program)


if __name__ == "__main__":
    main(sys.argv[1:])
