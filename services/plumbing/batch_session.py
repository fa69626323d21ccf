"""A session that a committer keeps, for transactions of many rows and few round trips.

Statements that answer nothing wait and go along with the next that does; BEGIN and COMMIT travel
with others too. A transaction of a few sales is bound by its round trips, not by its rows.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine

from services.plumbing import prepared
from services.plumbing.binary_copy import copy_data
from services.plumbing.database import driver_errors

COPY_CHUNK_BYTES = 1 << 18

Row = tuple[Any, ...]
# A statement to prepare: its name, the types of its parameters, and itself.
Prepared = tuple[str, str, str]
# A table with its columns, as in "schema.table (a, b)", and rows as binary_copy writes them.
Rows = tuple[str, bytes]


class BatchTransaction:
    """One transaction; ended by `commit`, or undone when its block ends without."""

    def __init__(self, connection: Connection, cursor: Any) -> None:
        self._connection = connection
        self._cursor = cursor
        self._waiting: list[str] = ["BEGIN"]
        self.ended = False

    @property
    def connection(self) -> Connection:
        """For statements that are rare; they see the transaction so far."""
        self._send_waiting()
        return self._connection

    @property
    def database(self) -> str:
        """The name of the database."""
        return str(self._connection.engine.url.database)

    def prepare(self, name: str, parameters: str, statement: str) -> None:
        """Let the session plan a statement once; `EXECUTE name(...)` runs it from then on.

        parameters are the types of $1, $2, ... in order.
        """
        prepared.prepare(self._connection, self._cursor, name, parameters, statement)

    def later(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement that answers nothing along with the next that is sent."""
        self._waiting.append(self._written(statement, values))

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a statement and answer its rows."""
        self.later(statement, values)
        self._send_waiting()
        found: list[Row] = self._cursor.fetchall()
        return found

    def commit(self, copies: Sequence[Rows]) -> None:
        """Copy rows into their tables and commit, in as many round trips as there are tables."""
        filled = [(target, rows) for target, rows in copies if rows]
        for number, (target, rows) in enumerate(filled, 1):
            self.later(f"COPY {target} FROM STDIN (FORMAT binary)")
            if number == len(filled):
                self.later("COMMIT")
            statement = self._taken()
            data = io.BytesIO(copy_data(rows))
            with driver_errors(self._connection, self._cursor, "COPY"):
                self._cursor.copy_expert(statement, data, COPY_CHUNK_BYTES)
        if not filled:
            self.later("COMMIT")
            self._send_waiting()
        self.ended = True

    def _written(self, statement: str, values: Sequence[object]) -> str:
        if not values:
            return statement
        written: bytes = self._cursor.mogrify(statement, values)
        return written.decode()

    def _taken(self) -> str:
        statements = ";".join(self._waiting)
        self._waiting.clear()
        return statements

    def _send_waiting(self) -> None:
        if self._waiting:
            statements = self._taken()
            with driver_errors(self._connection, self._cursor, "a batch"):
                self._cursor.execute(statements)


class BatchSession:
    """Holds one connection of an engine, made anew after it broke. Used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[BatchTransaction]:
        """A transaction that its block commits; undone when the block raises or does not."""
        connection = self._open()
        cursor = connection.connection.cursor()
        transaction = BatchTransaction(connection, cursor)
        try:
            yield transaction
            if not transaction.ended:
                cursor.execute("ROLLBACK")
        except BaseException:
            self._undo(cursor)
            raise
        finally:
            cursor.close()

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            # The transactions are opened and closed by our own words.
            self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

    def _undo(self, cursor: Any) -> None:
        """Roll back; a connection that cannot is thrown away, and with it what it had begun."""
        try:
            cursor.execute("ROLLBACK")
        except psycopg2.Error:
            if self._connection is not None:
                self._connection.invalidate()
            self.close()
