"""Many sealed or tagged values in one statement, in PostgreSQL's binary format."""

import psycopg
from psycopg.types.array import ListBinaryDumper


class Blobs(list[bytes | None]):
    """A ``bytea[]`` on its way into the database.

    A plain list goes as text: every value spelt in hexadecimal, escaped, and parsed again by the
    server.
    """


psycopg.adapters.register_dumper(Blobs, ListBinaryDumper)
