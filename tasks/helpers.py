"""More processes for a large batch: spawned, never forked, and gone when the step is over.

A helper does what the step itself does: it takes chunks that nobody else has. So what it has not
done when it dies is done by whoever is left, and other Prefect workers that run the same batch
share it in just the same way.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from config.installation import open_installation
from config.settings import load_settings
from custody.acts import store, taking
from custody.acts.batches import require_batch
from custody.acts.context import Actor, Custody
from custody.database.batches import Batch
from custody.embedded.launch import end_with_parent
from custody.identifiers import BATCH, read_id
from tasks.border import withholding

_WORTH_ROWS: Final = 40_000  # a process takes some seconds to start
_SECONDS_TO_END: Final = 60
_STAGES: Final[Mapping[str, Callable[[Custody, Actor, Batch, range], int]]] = {
    "ingest": taking.take_chunks,
    "store": store.store_chunks,
}


def do_span(
    stage: str, custody: Custody, actor: Actor, batch_id: str, first: int, last: int
) -> int:
    """Do chunks of a span that nobody else does, until all are done; return how many."""
    batch = require_batch(custody, read_id(BATCH, batch_id))
    return _STAGES[stage](custody, actor, batch, range(first, last + 1))


@contextmanager
def helped(
    stage: str, custody: Custody, actor: Actor, batch_id: str, first: int, last: int
) -> Iterator[None]:
    """Have other processes do chunks of a span too, as many as the settings allow.

    They stay until all are done; where the block fails they are ended.
    """
    cut = require_batch(custody, read_id(BATCH, batch_id)).layout or {}
    rows = (last - first + 1) * int(cut.get("chunk_rows", custody.chunk_rows))
    count = load_settings().processes - 1 if rows >= _WORTH_ROWS else 0
    spawning = multiprocessing.get_context("spawn")
    helpers = [
        spawning.Process(target=_help, args=(stage, actor, batch_id, first, last), daemon=True)
        for _ in range(count)
    ]
    for one in helpers:
        one.start()
    try:
        yield
    except BaseException:
        for one in helpers:
            one.terminate()
        raise
    finally:
        for one in helpers:
            one.join(_SECONDS_TO_END)
            one.kill()


@withholding
def _help(stage: str, actor: Actor, batch_id: str, first: int, last: int) -> None:
    """Do chunks in a process of its own; what it leaves undone somebody else does.

    What it raises is printed by Python, so it is bared first.
    """
    end_with_parent()
    do_span(stage, open_installation(), actor, batch_id, first, last)
