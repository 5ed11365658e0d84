"""Checkpoints: the tree brought up to date, its head signed and kept where the database is not.

No checkpoint is signed that does not extend the last one: whoever rewrote or cut the ledger, or put
an older database in its place, would otherwise have it vouched for by the next command.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from custody.acts.context import Custody
from custody.checkpoint import (
    Checkpoint,
    CheckpointContradictedError,
    KnownHead,
    origin_of,
    read_checkpoint,
)
from custody.database import tree
from custody.database.engine import transaction
from custody.ledger import LedgerBrokenError
from custody.merkle import (
    ProofInvalidError,
    TreeHead,
    consistency_ranges,
    merkle_root,
    verify_consistency,
)
from custody.note import (
    SIGNATURE,
    Note,
    NoteInvalidError,
    VerifierKey,
    cosigned_at,
    require_signed,
    sign_note,
)
from custody.outside.witness import NotCosignedError
from custody.outside.witness_client import WitnessPlace, WitnessUnreachableError
from custody.steps import reached

FILES: Final = "the files"
WITNESS: Final = "the witness"
GIVEN: Final = "one that was given"
_TRIES: Final = 3
_PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.02
_EMPTY: Final = TreeHead(size=0, root=merkle_root(()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A checkpoint that was kept.

    Attributes:
        witnessed: Whether a witness cosigned it.
        silent: Whether one is configured that does not answer.
    """

    head: TreeHead
    witnessed: bool
    silent: bool


def log_key(custody: Custody) -> VerifierKey:
    """Return the key that verifies the checkpoints of this installation."""
    name = origin_of(custody.installation_id)
    return VerifierKey(name=name, kind=SIGNATURE, public=custody.keyring.verify_key_bytes())


def bring_up_to_date(custody: Custody) -> None:
    """Give all entries that are committed now their places in the tree.

    Somebody else who is at it is waited for.

    Raises:
        LedgerBrokenError: Entries have been without a place for long: somebody holds the tree.
    """
    with transaction(custody.data) as connection:
        last = tree.last_waiting(connection)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while last is not None:
        with transaction(custody.data) as connection:
            tree.sequence(connection)
            last = None if tree.place_of(connection, last) is not None else last
        if last is not None and time.monotonic() > deadline:
            _require_moving(custody)
            return
        time.sleep(0 if last is None else _PAUSE_SECONDS)


def _require_moving(custody: Custody) -> None:
    """Check that no entry has waited for its place for long."""
    with transaction(custody.data) as connection:
        waiting = tree.waiting(connection)
        head = tree.tree_head(connection)
    if waiting.seconds > tree.LONGEST_WAIT_SECONDS:
        raise LedgerBrokenError(head.size, "entries are kept from their places in the tree")


def keep_checkpoint(custody: Custody) -> Kept | None:
    """Sign the tree as it is and keep that outside; None where nothing came since the last one.

    1. One at a time. 2. The tree is brought up to date. 3. It begins with the last checkpoint's,
    4. and is signed, 5. and cosigned by the witness, who is not waited for when silent. 6. The
    checkpoint is added to the journal and put beside the keystore.

    Raises:
        CheckpointContradictedError: The ledger contradicts the last checkpoint, or the witness's.
        LedgerBrokenError: What is kept of the tree has holes.
        NoteInvalidError: The last checkpoint is not one of this installation.
        NotCosignedError: The witness refuses: it does not know this log, say.
    """
    with custody.outside.journal.alone():
        for attempt in range(_TRIES):
            bring_up_to_date(custody)
            with transaction(custody.data) as connection:
                head = tree.tree_head(connection)
            try:
                return _keep(custody, head)
            except CheckpointContradictedError as error:
                # What the witness knows may be another host's checkpoint of a moment later.
                if attempt == _TRIES - 1 or error.size <= head.size or not _grew(custody, error):
                    raise
    return None


def known_heads(custody: Custody, given: Iterable[Note] = ()) -> Iterator[KnownHead]:
    """Yield every tree that a checkpoint kept outside, or one that was given, vouches for.

    Raises:
        NoteInvalidError: One is not signed by this installation's key, or not by the witness's.
        CheckpointContradictedError: The witness knows less than it cosigned.
        WitnessUnreachableError: A witness is configured and does not answer.
    """
    key, witness = log_key(custody), custody.outside.witness
    cosigned = 0
    for note in custody.outside.journal.read():
        head = _verified(note, key)
        if witness is not None and _is_cosigned(note, witness):
            cosigned = max(cosigned, head.size)
        yield KnownHead(head=head, where=FILES)
    if witness is not None:
        seen = witness.last(key.name)
        head = _EMPTY if seen is None else _verified(seen, key)
        if head.size < cosigned:
            raise CheckpointContradictedError(cosigned, WITNESS)
        if seen is not None:
            yield KnownHead(head=head, where=WITNESS)
    for note in given:
        yield KnownHead(head=_verified(note, key), where=GIVEN)


def cosigned_sizes(custody: Custody) -> Iterator[tuple[int, datetime]]:
    """Yield the size of each checkpoint that the witness cosigned, and when it saw it last."""
    key, witness = log_key(custody), custody.outside.witness
    for note in custody.outside.journal.read() if witness is not None else ():
        if witness is not None and _is_cosigned(note, witness):
            yield _verified(note, key).size, cosigned_at(note, witness.key)


def require_extended(custody: Custody) -> None:
    """Check that the tree begins with that of the last checkpoint, before anything is done.

    Raises:
        CheckpointContradictedError: It does not: it was cut or rewritten, or an older database
            stands in its place.
    """
    _, last = _last(custody)
    with transaction(custody.data) as connection:
        head = tree.tree_head(connection)
    _require_extended(custody, last, head)


def _last(custody: Custody) -> tuple[Note | None, TreeHead]:
    """Return the last checkpoint that is kept: the larger one of journal and keystore's folder."""
    key = log_key(custody)
    found: tuple[Note | None, TreeHead] = (None, _EMPTY)
    for note in (custody.outside.journal.read_last(), custody.outside.journal.read_newest()):
        head = _EMPTY if note is None else _verified(note, key)
        if note is not None and (found[0] is None or head.size > found[1].size):
            found = note, head
    return found


def _keep(custody: Custody, head: TreeHead) -> Kept | None:
    note, last = _last(custody)
    _require_extended(custody, last, head)
    witness = custody.outside.witness
    seen = last.size if note and witness and _is_cosigned(note, witness) else 0
    if last.size == head.size and (witness is None or seen == head.size):
        return None
    signed = _signed(custody, head)
    cosigned, refused = None, None
    if witness is not None:
        prove = partial(_prove, custody, new=head.size)
        try:
            cosigned = witness.cosigned(signed, head, prove, seen)
        except WitnessUnreachableError:  # it is told so: ``silent``
            cosigned = None
        except NotCosignedError as error:  # raised once the checkpoint is kept
            refused = error
    reached("checkpoint:signed")
    if last.size < head.size or cosigned is not None:
        custody.outside.journal.add(cosigned or signed)
    reached("checkpoint:kept")
    if refused is not None:
        raise refused
    silent = witness is not None and cosigned is None
    return Kept(head=head, witnessed=cosigned is not None, silent=silent)


def _require_extended(custody: Custody, last: TreeHead, head: TreeHead) -> None:
    """Check that the tree as it is begins with that of the last checkpoint.

    Raises:
        CheckpointContradictedError: It does not.
    """
    if head.size < last.size:
        raise CheckpointContradictedError(last.size, FILES)
    try:
        verify_consistency(last, head, _prove(custody, last.size, head.size))
    except ProofInvalidError:
        contradicted = True
    else:
        contradicted = False
    if contradicted:
        raise CheckpointContradictedError(last.size, FILES)


def _prove(custody: Custody, old: int, new: int) -> list[bytes]:
    with transaction(custody.data) as connection:
        return tree.roots_of(connection, consistency_ranges(old, new))


def _signed(custody: Custody, head: TreeHead) -> Note:
    origin = origin_of(custody.installation_id)
    text = Checkpoint(origin=origin, head=head).text()
    return sign_note(text, origin, custody.keyring.signing_key())


def _verified(note: Note, key: VerifierKey) -> TreeHead:
    """Return what a checkpoint of this installation says."""
    checkpoint = read_checkpoint(note)
    if checkpoint.origin != key.name:
        raise NoteInvalidError("a checkpoint of another installation", checkpoint.origin)
    require_signed(note, key)
    return checkpoint.head


def _is_cosigned(note: Note, witness: WitnessPlace) -> bool:
    try:
        cosigned_at(note, witness.key)
    except NoteInvalidError:
        return False
    return True


def _grew(custody: Custody, error: CheckpointContradictedError) -> bool:
    """Whether the ledger has meanwhile as many entries as the contradicting checkpoint."""
    with transaction(custody.data) as connection:
        return tree.tree_head(connection).size >= error.size
