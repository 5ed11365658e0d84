"""Keeping the policy: every version that an act relies on is stored whole, by its digest."""

from sqlalchemy import Connection

from custody.acts.context import Custody
from custody.database import installation as tables


def remember_policy(connection: Connection, custody: Custody) -> None:
    """Store the open policy's documents in the transaction that first relies on them."""
    tables.remember_policy(
        connection, custody.policy.digest, custody.policy.documents, custody.now()
    )
