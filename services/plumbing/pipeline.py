"""Many statements in one round trip, by libpq's pipeline mode, and rows by COPY.

See https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

import os
import select
import time
from collections.abc import Sequence
from typing import TypeAlias

from psycopg import OperationalError, pq
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn, PGresult

from services.plumbing.binary_copy import copy_data

COMMAND_OK, COPY_IN = pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_IN
DONE = (COMMAND_OK, pq.ExecStatus.TUPLES_OK)

TEXT, BINARY = pq.Format.TEXT, pq.Format.BINARY

# A value as the protocol carries it; None is NULL.
Value: TypeAlias = bytes | None
# The name of a prepared statement and the values of its parameters, each in its format.
Call: TypeAlias = tuple[bytes, Sequence[Value], Sequence[int]]

# The longest that a lone transaction waits on a machine with little else to do, half as much again.
LOOK_SECONDS = 0.000_6


class Pipeline:
    """What libpq does for one connection. Used by one thread; others run while it waits."""

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self._poll = select.poll()
        # Over a network an answer takes longer than looking for it is worth.
        self._is_near = connection.host.startswith(b"/")
        # Whether to look for answers a while before sleeping until they come.
        self.is_urgent = False
        # How many statements were started whose answers were not read.
        self.started = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, so that the connection can be used for something else."""
        transaction = self._connection.transaction_status
        return self._connection.pipeline_status == pq.PipelineStatus.OFF and transaction not in (
            pq.TransactionStatus.ACTIVE,
            pq.TransactionStatus.UNKNOWN,
        )

    def prepare(self, name: bytes, statement: str) -> None:
        """Name a statement that SQL's PREPARE does not take, such as COMMIT."""
        self._connection.send_prepare(name, statement.encode())
        self._flush()
        self._expect(COMMAND_OK)
        self._result()

    def run(self, calls: Sequence[Call]) -> list[PGresult]:
        """Run prepared statements in their order, in one round trip, and answer what each answered.

        None is run after the first that fails; its error is raised.
        """
        self.start(calls)
        return self.answers()

    def start(self, calls: Sequence[Call], *, last: bool = True) -> None:
        """Let the server begin with prepared statements, after those that were started before, and
        do not wait for it; it answers all of them after the last.
        """
        connection = self._connection
        if not self.started:
            connection.enter_pipeline_mode()
        for name, values, formats in calls:
            connection.send_query_prepared(name, values, formats)
        self.started += len(calls)
        if last:
            connection.pipeline_sync()
        self._flush()

    def answers(self) -> list[PGresult]:
        """What each statement answered that was started, after the last.

        None was run after the first that failed; its error is raised.
        """
        results = []
        for _ in range(self.started):
            results.append(self._next())
            # An answer ends with none.
            self._result()
        # The last one says that all were answered.
        self._next()
        self.started = 0
        self._connection.exit_pipeline_mode()
        for result in results:
            if result.status not in DONE:
                raise error_from_result(result)
        return results

    def copy(self, tables: Sequence[tuple[str, bytes]], then: str) -> None:
        """Copy rows into tables, in a round trip for each, and let the server begin with another
        statement, which `copied` waits for.

        A table has its columns with it, as in "schema.table (a, b)"; rows are as binary_copy
        writes them. None is run after the first statement that fails; its error is raised.
        """
        statements = [f"COPY {target} FROM STDIN (FORMAT binary)" for target, _ in tables]
        self._connection.send_query(";".join([*statements, then]).encode())
        self._flush()
        for place, (_, rows) in enumerate(tables):
            if place:
                self._expect(COMMAND_OK)
            self._expect(COPY_IN)
            self._send_rows(copy_data(rows))

    def copied(self) -> None:
        """Wait for the last table and the statement after it."""
        self._expect(COMMAND_OK)
        self._expect(COMMAND_OK)
        self._result()

    def _send_rows(self, data: bytes) -> None:
        # Each answers 0 where it would have to wait.
        while not self._connection.put_copy_data(data):
            self._flush()
        while not self._connection.put_copy_end():
            self._flush()
        self._flush()

    def _expect(self, status: pq.ExecStatus) -> None:
        result = self._next()
        if result.status != status:
            while self._result() is not None:
                pass
            raise error_from_result(result)

    def _next(self) -> PGresult:
        result = self._result()
        if result is None:
            raise OperationalError(self._connection.get_error_message())
        return result

    def _result(self) -> PGresult | None:
        while self._connection.is_busy():
            self._wait(select.POLLIN)
            self._connection.consume_input()
        return self._connection.get_result()

    def _flush(self) -> None:
        while self._connection.flush():
            # A server that waits for us to read its answers would read no more.
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._connection.consume_input()

    def _wait(self, events: int) -> int:
        self._poll.register(self._connection.socket, events)
        if self.is_urgent and self._is_near:
            self._look()
        [(_, found)] = self._poll.poll()
        return found

    def _look(self) -> None:
        """Look for what is waited for until it is there or takes too long.

        A core that fell asleep takes longer to wake than a small answer takes to come. Whoever
        else wants this one gets it between two looks.
        """
        until = time.monotonic() + LOOK_SECONDS
        while not self._poll.poll(0) and time.monotonic() < until:
            os.sched_yield()
