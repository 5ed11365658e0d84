"""Loaded by every Python process of the tests' stack: nothing leaves this machine (threats T29).

An attempt is refused as a machine without a network would, and noted in the file GUARD_FILE names.
"""

import os
import socket
import sys
import traceback
from typing import Any

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::")  # noqa: S104 - nothing is bound here


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket's path
    host = address[0]
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return not name or name.startswith(_LOCAL)


def _refuse(what: str, address: object) -> None:
    with open(os.environ["GUARD_FILE"], "a", encoding="utf-8") as file:  # noqa: PTH123 - early
        file.write(f"{what} {address!r} by {sys.argv}\n{''.join(traceback.format_stack()[-8:])}\n")
    raise OSError(101, "Network is unreachable")


def _guarded(name: str, place: int) -> None:
    original = getattr(socket.socket, name)

    def call(self: socket.socket, *args: Any) -> Any:
        if self.family != socket.AF_UNIX and not _is_local(args[place]):
            _refuse(name, args[place])
        return original(self, *args)

    setattr(socket.socket, name, call)


def _guard_names() -> None:
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local((host,)) and host != socket.gethostname():
            _refuse("getaddrinfo", host)
        return original(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


if "GUARD_FILE" in os.environ:
    for guarded, place in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
        _guarded(guarded, place)
    _guard_names()
