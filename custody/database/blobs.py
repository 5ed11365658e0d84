"""Many values of one type in one statement, in PostgreSQL's binary format.

A plain list goes as text, every value spelt out, escaped, and parsed again by the server; psycopg's
own binary lists look at every element for its type. These say what they hold.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD: Final = struct.Struct(">iiIii")  # dimensions, whether there are NULLs, type, length, first
_EMPTY: Final = struct.Struct(">iiI")
_NULL: Final = struct.pack(">i", -1)
_UUID_HEAD: Final = struct.pack(">i", 16)
_INT_BYTES: Final = 4
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


def _register(
    kind: type, array: int, element: int, parts: Callable[[Any], Iterable[bytes]]
) -> None:
    """Have psycopg write a kind of list as an array.

    Args:
        kind: The kind of list.
        array: The array's type.
        element: The elements' type.
        parts: Returns every element of such a list with its length before it.
    """

    class ArrayDumper(Dumper):
        format, oid = Format.BINARY, array

        def dump(self, obj: list[Any]) -> bytes:
            """Return the array as PostgreSQL reads it."""
            if not obj:
                return _EMPTY.pack(0, 0, element)
            data = b"".join(parts(obj))
            has_null = int(element == _BYTEA and None in obj)
            return _HEAD.pack(1, has_null, element, len(obj), 1) + data

    psycopg.adapters.register_dumper(kind, ArrayDumper)


def _blobs(values: Blobs) -> Iterable[bytes]:
    return [_NULL if one is None else len(one).to_bytes(4, "big") + one for one in values]


def _ints(values: Ints) -> Iterable[bytes]:
    pairs = [part for one in values for part in (_INT_BYTES, one)]
    return (struct.pack(f">{len(pairs)}i", *pairs),)


def _texts(values: Texts) -> Iterable[bytes]:
    encoded = {one: one.encode() for one in set(values)}
    whole = {one: len(data).to_bytes(4, "big") + data for one, data in encoded.items()}
    return [whole[one] for one in values]


_register(Blobs, _BYTEAS, _BYTEA, _blobs)
_register(Uuids, _UUIDS, _UUID, lambda values: [_UUID_HEAD + one.bytes for one in values])
_register(BareUuids, _UUIDS, _UUID, lambda values: [_UUID_HEAD + one for one in values])
_register(Ints, _INT4S, _INT4, _ints)
_register(Texts, _TEXTS, _TEXT, _texts)
