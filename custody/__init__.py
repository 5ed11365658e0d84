"""Custody's core: what is decided and done with customers' information; it knows no Prefect."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Import the client when it is asked for: most of what imports custody needs no database."""
    if name != "Client":
        raise AttributeError(name)
    from custody.client import Client  # noqa: PLC0415 - see above

    return Client
