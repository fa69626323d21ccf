"""Rows in the binary format of PostgreSQL's COPY, which the server need not parse.

A row is a count of its columns, then each value behind its length in bytes. See
https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# Types as PostgreSQL numbers its own.
INT2, INT4, INT8, TEXT, INT4_ARRAY = 21, 23, 20, 25, 1007
# Of a type that is a database's own the server takes any number for its own.
_RECORD_TYPE = 2249
_array_head = struct.Struct("!iiiiii").pack
_NO_BIGINTS = struct.pack("!iii", 0, 0, INT8)
_EMPTY_ARRAY = struct.pack("!iiii", 12, 0, 0, _RECORD_TYPE)
_length = struct.Struct("!i").pack
_read_length = struct.Struct("!i").unpack_from
_count = struct.Struct("!h").unpack_from
NULL = _length(-1)
# PostgreSQL counts a time's microseconds from 2000-01-01 UTC.
EPOCH_MICROS = 946_684_800_000_000


def fixed_columns(formats: str) -> struct.Struct:
    """Packs the first columns of a row, those of fixed width, at once.

    formats has one letter a column: q bigint or timestamptz, i integer, h smallint, u uuid. pack
    takes the row's count of columns, then for each of these its width (8, 4, 2, 16) and its value.
    """
    return struct.Struct("!h" + "".join("i16s" if f == "u" else f"i{f}" for f in formats))


def text(value: str) -> bytes:
    """A value of type text or json."""
    encoded = value.encode()
    return _length(len(encoded)) + encoded


# For texts of which there are few: names of stores, rules, currencies.
repeated_text = lru_cache(maxsize=65_536)(text)


@lru_cache(maxsize=65_536)
def int_array(values: tuple[int, ...]) -> bytes:
    """A value of type integer[]; most rows share a few."""
    dimensions = struct.pack("!ii", len(values), 1) if values else b""
    elements = b"".join([struct.pack("!ii", 4, value) for value in values])
    body = struct.pack("!iii", bool(values), 0, INT4) + dimensions + elements
    return _length(len(body)) + body


def bigint_array(values: Sequence[int]) -> bytes:
    """A parameter of type bigint[]: half the work of a text for client and server."""
    if not values:
        return _NO_BIGINTS
    widths_and_values = [8] * (2 * len(values))
    widths_and_values[1::2] = values
    return _bigints(len(values))(1, 0, INT8, len(values), 1, *widths_and_values)


@lru_cache(maxsize=1_024)
def _bigints(count: int) -> Callable[..., bytes]:
    return struct.Struct("!iiiii" + "iq" * count).pack


def record_array(count: int, parts: Iterable[bytes]) -> bytes:
    """A value that is an array of a composite type, or of a domain over one; parts come to its
    records, one after the other.

    A record is its length in bytes and a count of its fields; then, for each, its type, its width
    and its value.
    """
    if not count:
        return _EMPTY_ARRAY
    records = b"".join(parts)
    return _array_head(len(records) + 20, 1, 0, _RECORD_TYPE, count, 1) + records


def values(rows: bytes) -> list[bytes | None]:
    """The values of all rows, one after the other, without their lengths; None is NULL.

    Refuses: ValueError, for rows that end too soon.
    """
    found: list[bytes | None] = []
    place = 0
    while place < len(rows):
        (columns,) = _count(rows, place)
        place += 2
        for _ in range(columns):
            (length,) = _read_length(rows, place)
            place += 4
            found.append(rows[place : place + length] if length >= 0 else None)
            place += max(length, 0)
    if place != len(rows):
        raise ValueError("rows end too soon")
    return found


def copy_data(rows: bytes) -> bytes:
    """Rows as `COPY ... FROM STDIN (FORMAT binary)` reads them."""
    return HEADER + rows + TRAILER
