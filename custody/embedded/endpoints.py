"""Where the embedded PostgreSQL is reached: URLs without a password.

Passwords lie in one file per role (libpq's ``passfile``, mode 0600), which both drivers read for
themselves. So no password is in a URL, a command line or an environment (threats T6, T28).
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlencode

DATA = "custody_data"
KEYS = "custody_keys"
PREFECT = "prefect"
PORT = 5432  # names the socket, nothing listens on it


class Role(StrEnum):
    """The roles of the cluster; ``admin`` makes databases and is never used at run time."""

    ADMIN = "custody_admin"
    OWNER = "custody_owner"
    APP = "custody_app"
    PREFECT = "custody_prefect"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """The databases of one running cluster."""

    socket_dir: Path
    passwords: Path
    port: int = PORT

    def url(self, role: Role, database: str, driver: str = "psycopg") -> str:
        """Return the SQLAlchemy URL under which ``role`` reaches ``database``."""
        where = {
            "host": str(self.socket_dir),
            "port": str(self.port),
            "passfile": str(self.passwords / role.value),
        }
        name = quote(database, safe="")
        return f"postgresql+{driver}://{role.value}@/{name}?{urlencode(where, quote_via=quote)}"

    @property
    def owner_url(self) -> str:
        """The data database, for migrations."""
        return self.url(Role.OWNER, DATA)

    @property
    def app_url(self) -> str:
        """The data database, for the application."""
        return self.url(Role.APP, DATA)

    @property
    def keys_owner_url(self) -> str:
        """The key database, for migrations."""
        return self.url(Role.OWNER, KEYS)

    @property
    def keys_url(self) -> str:
        """The key database, for the application."""
        return self.url(Role.APP, KEYS)

    @property
    def prefect_url(self) -> str:
        """Prefect's own database, with the driver its server needs."""
        return self.url(Role.PREFECT, PREFECT, driver="asyncpg")
