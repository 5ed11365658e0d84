"""Turning keys: what makes erasures final, with the ledger's word before it and after it.

The turn itself is :mod:`custody.keys.turning`. Between the two databases there is no common commit,
so the ledger first says that a turn begins and in the end what it came to; one that was killed is
finished, and said, by the next.
"""

from typing import Final

from custody.acts.context import Actor, Custody
from custody.acts.endings import finish_endings
from custody.acts.recording import record
from custody.database.engine import transaction
from custody.database.ledger import last_of
from custody.keys.turning import TurnReceipt
from custody.steps import reached

EVENTS: Final = ("key:turn:begun", "key:turn:completed")


def turn_keys(custody: Custody, actor: Actor, *, everything: bool = False) -> TurnReceipt | None:
    """Turn the buckets in which keys were deleted, or all; None where there was nothing to do.

    Afterwards no copy of both databases from before opens what lay under a deleted key, unless the
    keystore of before is there too. Two things wait: what retention took while its key stays, for
    other records of the customer and period, is final at the period's end (ADR 0012); and a copy of
    an intake or quarantine row opens until the key of the row's day is destroyed, by the first turn
    after that day that finds no batch of it in the intake, or the quarantine, any more.

    Raises:
        SealInvalidError: A key does not open; its bucket stays as it is.
        RootUnavailableError: The root key cannot be had; nothing was destroyed.
    """
    finish_endings(custody, actor)
    turner = custody.keyring.turner
    if not (turner.has_work(custody.today(), everything=everything) or _was_cut_off(custody)):
        return None
    with transaction(custody.data) as connection:
        record(connection, custody, actor, "key:turn:begun", {"everything": int(everything)})
    reached("turn:begun")
    receipt = turner.turn(custody.today(), everything=everything)
    facts = {
        "buckets": receipt.buckets,
        "keys": receipt.keys,
        "others": receipt.others,
        "destroyed": receipt.destroyed,
        "root": receipt.root,
    }
    with transaction(custody.data) as connection:
        record(connection, custody, actor, "key:turn:completed", facts)
    return receipt


def _was_cut_off(custody: Custody) -> bool:
    """Whether the last turn has not said its end."""
    with transaction(custody.data) as connection:
        return last_of(connection, EVENTS) == EVENTS[0]
