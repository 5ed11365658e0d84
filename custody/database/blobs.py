"""Many values of one type in one statement, in PostgreSQL's binary format.

A plain list goes as text, every value spelt out, escaped, and parsed again by the server; psycopg's
own binary lists look at every element for its type. These say what they hold.
"""

import struct
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD: Final = struct.Struct(">iiIii")  # dimensions, whether there are NULLs, type, length, first
_EMPTY: Final = struct.Struct(">iiI")
_NULL: Final = struct.pack(">i", -1)
_UUID_HEAD: Final = struct.pack(">i", 16)
_INT_HEAD: Final = 4
_UUID, _BYTEA, _INT4, _TEXT = 2950, 17, 23, 25
_UUIDS, _BYTEAS, _INT4S, _TEXTS = 2951, 1001, 1007, 1009


class Blobs(list[bytes | None]):
    """A ``bytea[]`` on its way into the database."""


class Uuids(list[UUID]):
    """A ``uuid[]`` on its way into the database."""


class BareUuids(list[bytes]):
    """A ``uuid[]`` on its way into the database, from sixteen bytes each."""


class Ints(list[int]):
    """An ``int4[]`` on its way into the database."""


class Texts(list[str]):
    """A ``text[]`` on its way into the database."""


class _ArrayDumper(Dumper):
    """Writes a one-dimensional array whose elements are encoded by a subclass."""

    format = Format.BINARY
    element: int

    def dump(self, obj: list[object]) -> bytes:
        """Return the array as PostgreSQL reads it."""
        if not obj:
            return _EMPTY.pack(0, 0, self.element)
        head = _HEAD.pack(1, int(None in obj), self.element, len(obj), 1)
        return head + b"".join(self.parts(obj))

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        """Return every element with its length before it."""
        raise NotImplementedError


class _BlobsDumper(_ArrayDumper):
    oid, element = _BYTEAS, _BYTEA

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        return [
            _NULL if one is None else len(one).to_bytes(4, "big") + one  # type: ignore[arg-type, operator]
            for one in obj
        ]


class _UuidsDumper(_ArrayDumper):
    oid, element = _UUIDS, _UUID

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        return [_UUID_HEAD + one.bytes for one in obj]  # type: ignore[attr-defined]


class _BareUuidsDumper(_ArrayDumper):
    oid, element = _UUIDS, _UUID

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        return [_UUID_HEAD + one for one in obj]  # type: ignore[operator]


class _IntsDumper(_ArrayDumper):
    oid, element = _INT4S, _INT4

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        pairs = [part for one in obj for part in (_INT_HEAD, one)]
        return (struct.pack(f">{len(pairs)}i", *pairs),)


class _TextsDumper(_ArrayDumper):
    oid, element = _TEXTS, _TEXT

    def parts(self, obj: list[object]) -> Iterable[bytes]:
        encoded = {one: one.encode() for one in set(obj)}  # type: ignore[attr-defined]
        whole = {one: len(data).to_bytes(4, "big") + data for one, data in encoded.items()}
        return [whole[one] for one in obj]


psycopg.adapters.register_dumper(Blobs, _BlobsDumper)
psycopg.adapters.register_dumper(Uuids, _UuidsDumper)
psycopg.adapters.register_dumper(BareUuids, _BareUuidsDumper)
psycopg.adapters.register_dumper(Ints, _IntsDumper)
psycopg.adapters.register_dumper(Texts, _TextsDumper)
