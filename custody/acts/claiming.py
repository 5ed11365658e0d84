"""One writer for each chunk: who comes second finds it written, and writes nothing."""

from uuid import UUID

from sqlalchemy import Connection

from custody.database import batches as tables
from custody.database.batches import ChunkReceipt
from custody.errors import UsageError
from custody.identifiers import BATCH, show_id


def written_meanwhile(connection: Connection, batch_id: UUID, chunk: int) -> ChunkReceipt | None:
    """Lock the batch until the commit and return the chunk's receipt if there is one by now.

    A chunk is examined without locks, so another process may have written it meanwhile, and it may
    even be closed and stored: writing it again would bring its rows back.

    Raises:
        UsageError: The batch was reverted meanwhile.
    """
    if tables.lock_batch(connection, batch_id).state == "reverted":
        raise UsageError("the batch was reverted", show_id(BATCH, batch_id))
    return tables.find_chunk(connection, batch_id, chunk)
