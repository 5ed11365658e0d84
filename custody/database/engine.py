"""Engines for the data and key databases, and the border where database errors lose their values.

PostgreSQL's messages hold values (``DETAIL: Key (x)=(y)``), so an error that leaves this package
keeps its SQLSTATE and constraint name and nothing else, and is raised ``from None``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from custody.errors import CustodyError

# Statistics are off on sealed columns, so the planner would wrongly go parallel for point reads.
# A plan for any array, made while a table was empty, compares every row with every element.
_OPTIONS: Final = (
    "-c search_path=custody -c max_parallel_workers_per_gather=0 -c timezone=UTC"
    " -c plan_cache_mode=force_custom_plan"
)
_CONNECT_SECONDS: Final = 10
_CONNECTION: Final = "connection"
_AWAY: Final = frozenset({"57P01", "57P02", "57P03", "53300"})
_LOCK_TIMEOUT: Final = "55P03"
_SERIALIZATION: Final = frozenset({"40001", "40P01"})


class DatabaseError(CustodyError):
    """The database refused or failed; the SQLSTATE and constraint say where."""

    code = "database_failed"

    def __init__(self, sqlstate: str, constraint: str = "") -> None:
        super().__init__(sqlstate, constraint)
        self.sqlstate, self.constraint = sqlstate, constraint

    @property
    def is_deadlock(self) -> bool:
        """Whether the same unit of work may succeed when it is begun again."""
        return self.sqlstate in _SERIALIZATION

    @property
    def is_connection(self) -> bool:
        """Whether the server was not to be reached, or let nobody in for the moment."""
        return self.sqlstate == _CONNECTION or self.sqlstate[:2] == "08" or self.sqlstate in _AWAY

    @property
    def is_lock_timeout(self) -> bool:
        """Whether a lock was not to be had within its time."""
        return self.sqlstate == _LOCK_TIMEOUT

    def __str__(self) -> str:
        """Return the SQLSTATE and the constraint's name."""
        return f"database error {self.sqlstate} {self.constraint}".rstrip()


def make_engine(url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine that hides parameters and resolves names in custody's schema only."""
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={"options": _OPTIONS, "connect_timeout": _CONNECT_SECONDS},
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run one unit of work: committed at the end, rolled back on any error.

    Raises:
        DatabaseError: The database failed; its own message is dropped, for it may hold values.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise _without_values(error.orig) from None
    except psycopg.Error as error:  # of a COPY, which SQLAlchemy does not see
        raise _without_values(error) from None
    except SQLAlchemyError as error:
        raise DatabaseError(type(error).__name__) from None


def _without_values(error: BaseException | None) -> DatabaseError:
    sqlstate = getattr(error, "sqlstate", None) or _CONNECTION
    diagnosis = getattr(error, "diag", None)
    return DatabaseError(sqlstate, getattr(diagnosis, "constraint_name", None) or "")
