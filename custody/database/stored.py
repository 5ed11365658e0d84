"""Statements that count what of a chunk lies where it should, in the transaction of its store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from custody.database.blobs import Blobs, Ints, Uuids
from custody.database.records import RecordKey
from custody.database.sealed import suite_in

_NO_SEAL: Final = " + ".join(
    f"(r.{level} IS NOT NULL AND {suite_in(f'r.{level}', 'r.key_id')} = 0)::integer"
    for level in ("general", "sensitive", "secret")
)
_SEALS: Final = " + ".join(
    f"(r.{level} IS NOT NULL)::integer" for level in ("general", "sensitive", "secret")
)
_RECORDS = text(
    f"SELECT count(*) AS records, coalesce(sum({_SEALS}), 0) AS seals,"  # noqa: S608
    f" coalesce(sum({_NO_SEAL}), 0) AS unsealed FROM records r"
    " WHERE r.period = ANY(:periods) AND r.id = ANY(:ids) AND r.batch_id = :batch"
)
_KEYS = text(
    "SELECT count(*) AS present, count(*) FILTER (WHERE k.content_tag = w.content) AS same"
    " FROM unnest(CAST(:tags AS bytea[]), CAST(:ids AS uuid[]), CAST(:versions AS integer[]),"
    "  CAST(:contents AS bytea[])) w (tag, id, version, content)"
    " JOIN record_keys k ON k.tag = w.tag AND k.record_id = w.id AND k.version = w.version"
)
_SEARCH = text("SELECT count(*) FROM search_index WHERE record_id = ANY(:ids)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What of a chunk there is.

    Attributes:
        unsealed: How many of its seals are none under the key their row names.
        keys: How many of its record keys lead to their records.
        contents: Of these, how many bear the tag of what was accepted.
    """

    records: int
    seals: int
    unsealed: int
    keys: int
    contents: int
    search: int


def count_stored(
    connection: Connection, batch_id: UUID, periods: Sequence[str], keys: Sequence[RecordKey]
) -> Stored:
    """Count what there is of the records that these keys are to lead to."""
    ids = Uuids(key.record_id for key in keys)
    asked = {"periods": list(periods), "ids": ids, "batch": batch_id}
    records = connection.execute(_RECORDS, asked).one()
    named = {
        "tags": Blobs(key.tag for key in keys),
        "ids": ids,
        "versions": Ints(key.version for key in keys),
        "contents": Blobs(key.content_tag for key in keys),
    }
    leading = connection.execute(_KEYS, named).one()
    return Stored(
        records=records.records,
        seals=int(records.seals),
        unsealed=int(records.unsealed),
        keys=leading.present,
        contents=leading.same,
        search=int(connection.execute(_SEARCH, {"ids": ids}).scalar_one()),
    )
