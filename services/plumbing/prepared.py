"""Statements that a session keeps by name, and their plans where its plan_cache_mode says so: to
plan one anew often takes longer than to run it.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection

from services.plumbing.database import driver_errors

PREPARED = "prepared"
# For who looks up a few rows by their keys, in tables whose statistics are always behind: a plan
# that reads a whole table would be right for the first thousand and ruin the next million.
BY_INDEX_ONLY = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
# The same for who asks for one key at a time, where a bitmap of one row is a detour.
BY_KEY_ONLY = BY_INDEX_ONLY | {"enable_bitmapscan": "off"}

Row = tuple[Any, ...]


class Batch(Protocol):
    """A transaction whose statements travel together; see batch_session."""

    @property
    def connection(self) -> Connection: ...

    def later(self, statement: "Statement", *values: object) -> None: ...

    def rows(self, statement: "Statement", *values: object) -> list[Row]: ...


# What a statement runs in.
Session: TypeAlias = Connection | Batch


def connection_of(session: Session) -> Connection:
    """For statements that are rare."""
    return session if isinstance(session, Connection) else session.connection


def known_to(connection: Connection) -> set[str]:
    """The names of what a connection's session has prepared."""
    known: set[str] = connection.info.setdefault(PREPARED, set())
    return known


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement under a name of its own; parameters are the types of its $1, $2, ... in order,
    or empty where what becomes of them tells their types.
    """

    name: str
    parameters: str
    text: str

    def run(self, session: Session, *values: object) -> list[Row]:
        """Its rows; none of a statement that answers nothing."""
        if not isinstance(session, Connection):
            return session.rows(self, *values)
        # Run thousands of times a second: all that SQLAlchemy adds costs more than the statement.
        driver: Any = session.connection
        with closing(driver.cursor()) as cursor, driver_errors(session, self.name):
            self.prepare(session, cursor)
            cursor.execute(self._call(values), values)
            return cursor.fetchall() if cursor.description else []

    def run_later(self, session: Session, *values: object) -> None:
        """One that answers nothing; in a batch it goes along with the next that does."""
        if isinstance(session, Connection):
            self.run(session, *values)
        else:
            session.later(self, *values)

    def prepare(self, connection: Connection, cursor: Any) -> None:
        """Let a connection's session know the statement, once for as long as it lives."""
        known = known_to(connection)
        if self.name not in known:
            types = f"({self.parameters})" if self.parameters else ""
            with driver_errors(connection, "PREPARE"):
                cursor.execute(f"PREPARE {self.name} {types} AS {self.text}")
            known.add(self.name)

    def _call(self, values: Sequence[object]) -> str:
        return f"EXECUTE {self.name}({', '.join(['%s'] * len(values))})"
