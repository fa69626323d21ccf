"""A session that a committer keeps, for transactions of many rows and few round trips.

Statements wait until somebody wants to know what one of them answers, and go together: a
transaction of a few sales is bound by its round trips, not by its rows. The session speaks the
protocol through psycopg 3: psycopg2 knows neither its pipeline nor values in binary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg import abc, adapt
from psycopg.pq.abc import PGresult
from sqlalchemy import URL, Connection, Engine, make_url

from services.plumbing.binary_copy import values as values_of
from services.plumbing.database import driver_errors, engine
from services.plumbing.pipeline import BINARY, TEXT, Call, Pipeline, Value
from services.plumbing.prepared import BY_INDEX_ONLY, Statement, known_to

DRIVER = "postgresql+psycopg"
BEGIN, COMMIT, ROLLBACK = b"begin", b"commit", b"rollback"
NO_VALUES: tuple[Sequence[Value], Sequence[int]] = ((), ())
# To begin a COPY costs as much as to insert so many rows.
INSERTED_MAX = 4

Row = tuple[Any, ...]
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Rows:
    """New rows of a table; target has its columns, as in "schema.table (a, b)", and data is as
    binary_copy writes it.
    """

    target: str
    data: bytes
    count: int


class Asked:
    """What a statement answers, as soon as somebody wants to know."""

    __slots__ = ("_result", "_transaction")

    def __init__(self, transaction: "BatchTransaction") -> None:
        self._transaction = transaction
        self._result: PGresult | None = None

    def answer(self, result: PGresult) -> None:
        self._result = result

    def rows(self) -> list[Row]:
        """All that waits is sent first."""
        if self._result is None:
            self._transaction.send()
        return self._transaction.read(self._result)


class BatchTransaction:
    """One transaction; ended by `commit`, or undone when its block ends without.

    What the block does after its `commit` is done while the database commits; whether it did is
    known when the block has ended.
    """

    def __init__(self, connection: Connection, pipeline: Pipeline, reader: abc.Transformer) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._reader = reader
        self._known = known_to(connection)
        self._waiting: list[Call] = [(BEGIN, *NO_VALUES)]
        # Who asked, by the places of their statements among those that wait or were started.
        self._asked: dict[int, Asked] = {}
        self._copied: list[Rows] = []
        self._committing = False
        self.ended = False

    @property
    def connection(self) -> Connection:
        """For statements that are rare; they see the transaction so far."""
        self.send()
        return self._connection

    def later(self, statement: Statement, *values: object) -> None:
        """Run a statement that answers nothing along with the next that is sent."""
        self._call(statement, *_encoded(values))

    def ask(self, statement: Statement, *values: object) -> Asked:
        """Run a statement along with others, and learn its rows when they are wanted."""
        self.later(statement, *values)
        asked = Asked(self)
        self._asked[self._pipeline.started + len(self._waiting) - 1] = asked
        return asked

    def rows(self, statement: Statement, *values: object) -> list[Row]:
        """Run a statement and answer its rows."""
        return self.ask(statement, *values).rows()

    def add(self, rows: Rows) -> None:
        """Add rows to their table, after those that were added before. Many are copied, and all
        after them, when all other statements have run.
        """
        if not rows.count:
            return
        if self._copied or rows.count > INSERTED_MAX:
            self._copied.append(rows)
        else:
            values = values_of(rows.data)
            statement = _insertion(rows.target, rows.count, len(values) // rows.count)
            self._call(statement, values, [BINARY] * len(values))

    def commit(self) -> None:
        """Let the database commit."""
        if self._copied:
            self.send()
            with driver_errors(self._connection, "COPY"):
                self._pipeline.copy([(rows.target, rows.data) for rows in self._copied], "COMMIT")
        else:
            self._waiting.append((COMMIT, *NO_VALUES))
            self._start(last=True)
        self._committing = True

    def settle(self) -> None:
        """Wait until the database has committed, where it was told to."""
        if self._committing and not self.ended:
            with driver_errors(self._connection, "COMMIT"):
                if self._copied:
                    self._pipeline.copied()
                else:
                    self._hear()
            self.ended = True

    def start(self) -> None:
        """Let the database begin with what waits, while more is made ready."""
        if self._waiting:
            self._start(last=False)

    def send(self) -> None:
        """Run what waits; after the `commit` that is all there is to wait for."""
        if self._committing:
            self.settle()
        elif self._waiting or self._pipeline.started:
            self._start(last=True)
            with driver_errors(self._connection, "a batch"):
                self._hear()

    def _start(self, *, last: bool) -> None:
        calls, self._waiting = self._waiting, []
        with driver_errors(self._connection, "a batch"):
            self._pipeline.start(calls, last=last)

    def _hear(self) -> None:
        """Wait for what was started, and hand out what it answered."""
        results = self._pipeline.answers()
        asked, self._asked = self._asked, {}
        for place, each in asked.items():
            each.answer(results[place])

    def read(self, result: PGresult | None) -> list[Row]:
        """The rows of an answer."""
        if result is None:
            return []
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _call(self, statement: Statement, values: Sequence[Value], formats: Sequence[int]) -> None:
        if statement.name not in self._known:
            if self._pipeline.started:
                # Nothing else can be asked meanwhile.
                self.send()
            driver: Any = self._connection.connection
            with driver.cursor() as cursor:
                statement.prepare(self._connection, cursor)
        self._waiting.append((statement.name.encode(), values, formats))


@lru_cache(maxsize=1_024)
def _insertion(target: str, rows: int, columns: int) -> Statement:
    places = (
        ", ".join([f"${row * columns + column + 1}" for column in range(columns)])
        for row in range(rows)
    )
    text = f"INSERT INTO {target} VALUES {', '.join(f'({row})' for row in places)}"  # noqa: S608
    return Statement(f"insertion_{next(_numbers)}", "", text)


def _encoded(values: Sequence[object]) -> tuple[Sequence[Value], Sequence[int]]:
    """Values in their formats: bytes as they are, others as texts that PostgreSQL reads."""
    formats = [BINARY if isinstance(value, bytes) else TEXT for value in values]
    return [_value(value) for value in values], formats


def _value(value: object) -> Value:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


class BatchSession:
    """Holds one connection to a database, made anew after it broke. Used by one thread."""

    def __init__(self, url: str | URL, *, settings: Mapping[str, str] = BY_INDEX_ONLY) -> None:
        """settings are PostgreSQL's own."""
        self._engine = batch_engine(url, settings=settings)
        self._connection: Connection | None = None
        self._pipeline: Pipeline
        self._reader: abc.Transformer

    @contextmanager
    def transaction(self, *, is_urgent: bool = False) -> Iterator[BatchTransaction]:
        """A transaction that its block commits; undone when the block raises or does not.

        An urgent one looks for the database's answers where it would sleep otherwise: quicker on
        the same machine, and a waste of processor where others have use for it.
        """
        transaction = BatchTransaction(self._open(), self._pipeline, self._reader)
        self._pipeline.is_urgent = is_urgent
        try:
            yield transaction
            transaction.settle()
        finally:
            if not transaction.ended:
                self._undo()

    @property
    def database(self) -> str:
        """The name of the database."""
        return str(self._engine.url.database)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def _open(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            try:
                # The transactions are opened and closed by our own words.
                connection.execution_options(isolation_level="AUTOCOMMIT")
                driver: Any = connection.connection.driver_connection
                self._reader = adapt.Transformer(driver)
                self._pipeline = Pipeline(driver.pgconn)
                with driver_errors(connection, "PREPARE"):
                    for name in (BEGIN, COMMIT, ROLLBACK):
                        self._pipeline.prepare(name, name.decode())
            except BaseException:
                # Half made it would be taken for one that is ready.
                connection.invalidate()
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _undo(self) -> None:
        """Roll back; a connection that cannot is thrown away, and with it what it had begun."""
        connection = self._connection
        if connection is None:
            return
        try:
            if not connection.invalidated and self._pipeline.is_idle:
                self._pipeline.run([(ROLLBACK, *NO_VALUES)])
                return
        except psycopg.Error:
            pass
        connection.invalidate()
        connection.close()
        self._connection = None


def batch_engine(url: str | URL, *, settings: Mapping[str, str] = BY_INDEX_ONLY) -> Engine:
    """An engine of one connection, of psycopg 3, for who tries again by itself."""
    return engine(
        make_url(url).set(drivername=DRIVER),
        pool_size=1,
        settings=settings,
        checks_first=False,
        # Statements carry their values as psycopg2's do: EXECUTE takes no parameters.
        connect_args={"cursor_factory": psycopg.ClientCursor},
    )
