"""Columns of numbers out of the database and into it, without a Python object a value."""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg2.extensions import get_wait_callback
from sqlalchemy import Connection

from services.plumbing.binary_copy import HEADER, TRAILER, copy_data
from services.plumbing.database import driver_errors
from services.plumbing.prepared import BY_KEY_ONLY, Statement

# Of COPY's binary format: where no value is null every row is as long as every other, and numpy
# reads and writes them all.
HEADER_BYTES = len(HEADER)
TRAILER_BYTES = len(TRAILER)
CHUNK_BYTES = 65_536

Columns = Mapping[str, NDArray[Any]]

BY_INDEX = ";".join(f"SET LOCAL {name} = {value}" for name, value in BY_KEY_ONLY.items())
BY_SIZE = ";".join(f"SET LOCAL {name} = on" for name in BY_KEY_ONLY if name.startswith("enable_"))


def copy_columns(connection: Connection, query: str, types: Mapping[str, str]) -> Columns:
    """The rows of a query, which has no null in it. Not for a green connection, which cannot do
    COPY.

    types names each of its columns and says how it is stored: "i2", "i4" or "i8".
    """
    layout = _layout(types)
    data = _copy(connection, query)
    count, rest = divmod(len(data) - HEADER_BYTES - TRAILER_BYTES, layout.itemsize)
    if rest:
        raise ValueError("a row with a null, or of other types than were named")
    rows = np.frombuffer(data, layout, count=count, offset=HEADER_BYTES)
    return {name: rows[name].astype(np.dtype(kind)) for name, kind in types.items()}


def _layout(types: Mapping[str, str]) -> np.dtype[Any]:
    """A row of COPY."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in types.items():
        fields += [(f"length of {name}", ">i4"), (name, f">{kind}")]
    return np.dtype(fields)


def packed(types: Mapping[str, str]) -> str:
    """What selects columns each packed into one value for all rows, as `run_packed` reads them."""
    return ", ".join(f"string_agg(int{kind[1]}send({name}), '')" for name, kind in types.items())


def run_packed(
    connection: Connection, statement: Statement, types: Mapping[str, str], *values: object
) -> Columns:
    """The rows of a statement that selects these types `packed`; no value is null."""
    ((*found,),) = statement.run(connection, *values)
    return {
        name: np.frombuffer(b"" if column is None else column, f">{kind}").astype(kind)
        for (name, kind), column in zip(types.items(), found, strict=True)
    }


def plan_by_index(connection: Connection) -> None:
    """From now on in the transaction look up rows by their keys, and plan no prepared statement
    anew: few members are looked up, of however many, and the planner's guess is worth nothing.
    """
    connection.exec_driver_sql(BY_INDEX)


def plan_by_size(connection: Connection) -> None:
    """From now on in the transaction read as suits the size of a table."""
    connection.exec_driver_sql(BY_SIZE)


def copy_packed_columns(
    connection: Connection, source: str, types: Mapping[str, str], *, by: str
) -> Columns:
    """Many rows of a source, "table WHERE ...", in any order; no value is null.

    The server packs the values of a column into one for all rows with the same `by`, an int: a row
    of its own costs the driver ten times what is in it. Not for a green connection.
    """
    data = _copy(connection, f"SELECT {by}, {packed(types)} FROM {source} GROUP BY {by}")
    groups = list(_fields(data, 1 + len(types)))
    columns = {
        name: np.frombuffer(b"".join([group[place] for group in groups]), f">{kind}").astype(kind)
        for place, (name, kind) in enumerate(types.items(), 1)
    }
    keys = np.frombuffer(b"".join([group[0] for group in groups]), ">i4").astype("i4")
    width = np.dtype(next(iter(types.values()))).itemsize
    columns[by] = np.repeat(keys, [len(group[1]) // width for group in groups])
    return columns


def _fields(data: memoryview, count: int) -> Iterator[list[memoryview]]:
    """The rows of a COPY, each as its fields' bytes."""
    place, end = HEADER_BYTES, len(data) - TRAILER_BYTES
    while place < end:
        place += 2
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            place += 4
            row.append(data[place : place + length])
            place += length
        yield row


def literal(values: Sequence[int] | NDArray[Any]) -> str:
    """A PostgreSQL array literal of whole numbers."""
    numbers = values.tolist() if isinstance(values, np.ndarray) else values
    return "{" + ",".join(map(str, numbers)) + "}"


def can_copy() -> bool:
    """Whether connections can do COPY; green ones cannot."""
    return get_wait_callback() is None


def copy_in(connection: Connection, table: str, types: Mapping[str, str], columns: Columns) -> None:
    """Copy rows into a table, given as columns of these types, all as long as each other."""
    layout = _layout(types)
    rows = np.empty(len(columns[next(iter(types))]), layout)
    rows["fields"] = len(types)
    for name, kind in types.items():
        rows[f"length of {name}"] = np.dtype(kind).itemsize
        rows[name] = columns[name]
    data = io.BytesIO(copy_data(rows.tobytes()))
    statement = f"COPY {table} ({', '.join(types)}) FROM STDIN (FORMAT binary)"
    _copy_expert(connection, statement, data)


def copy_rows(connection: Connection, target: str, rows: str) -> None:
    """Copy rows, in COPY's text format, into "table (columns)"; does nothing without any."""
    if rows:
        _copy_expert(connection, f"COPY {target} FROM STDIN", io.BytesIO(rows.encode()))


def _copy(connection: Connection, query: str) -> memoryview:
    received = io.BytesIO()
    _copy_expert(connection, f"COPY ({query}) TO STDOUT (FORMAT binary)", received)
    return received.getbuffer()


def _copy_expert(connection: Connection, statement: str, data: io.BytesIO) -> None:
    """Refuses: what a statement refuses, as SQLAlchemy says it."""
    driver: Any = connection.connection
    with closing(driver.cursor()) as cursor, driver_errors(connection, "COPY"):
        cursor.copy_expert(statement, data, CHUNK_BYTES)
