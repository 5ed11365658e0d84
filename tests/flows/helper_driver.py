"""Runs a span of a batch with helpers, in a process of its own, and prints what came of it."""

import json
import sys
import time
from multiprocessing import active_children
from pathlib import Path

from config.installation import open_installation
from custody.acts.batches import close_batch, open_batch, receipts_of
from custody.acts.context import Actor
from custody.identifiers import BATCH, show_id
from tasks import helpers

SECRET = "王小明 13812345678"
WHO = Actor(how="os-user", name="tester")


def main(path: Path, how: str) -> None:
    """Ingest the file with helpers; ``fail`` raises while they are at work."""
    helpers._WORTH_ROWS = 0
    custody = open_installation()
    batch = open_batch(custody, WHO, "legacy_customers", str(path))
    shown, last = show_id(BATCH, batch.id), batch.chunks - 1
    here, failed = 0, False
    try:
        with helpers.helped("ingest", custody, WHO, shown, 0, last):
            begun = len(active_children())
            while how == "fail":
                _fail_once(bool(receipts_of(custody, batch.id)))
            time.sleep(4)  # so that the others are up before all is done
            here = helpers.do_span("ingest", custody, WHO, shown, 0, last)
    except LookupError:
        failed = True
    done = len(receipts_of(custody, batch.id))
    if not failed:
        close_batch(custody, WHO, batch.id)
    told = {"here": here, "done": done, "chunks": batch.chunks, "helpers": begun, "failed": failed}
    print(json.dumps({**told, "left": len(active_children())}))  # noqa: T201


def _leak(*_: object) -> int:
    raise ValueError(SECRET)


def _fail_once(begun: bool) -> None:  # noqa: FBT001 - whether it is time
    time.sleep(0.05)
    if begun:
        raise LookupError


if __name__ == "__mp_main__" and sys.argv[2] == "leak":  # in a helper: it is to fail
    helpers.do_span = _leak
if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
