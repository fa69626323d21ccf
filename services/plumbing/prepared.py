"""Statements that a session keeps by name, and their plans where its plan_cache_mode says so: to
plan one anew often takes longer than to run it.
"""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from services.plumbing.database import driver_errors

PREPARED = "prepared"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement under a name of its own; parameters are the types of its $1, $2, ... in order."""

    name: str
    parameters: str
    text: str

    def run(self, connection: Connection, *values: object) -> list[Row]:
        """Its rows; none of a statement that answers nothing."""
        places = ", ".join(["%s"] * len(values))
        # Run thousands of times a second: all that SQLAlchemy adds costs more than the statement.
        driver: Any = connection.connection
        with closing(driver.cursor()) as cursor, driver_errors(connection, cursor, self.name):
            prepare(connection, cursor, self.name, self.parameters, self.text)
            cursor.execute(f"EXECUTE {self.name}({places})", values)
            return cursor.fetchall() if cursor.description else []


def prepare(connection: Connection, cursor: Any, name: str, parameters: str, text: str) -> None:
    """Let a connection's session know a statement, once for as long as it lives."""
    known: set[str] = connection.info.setdefault(PREPARED, set())
    if name not in known:
        with driver_errors(connection, cursor, "PREPARE"):
            cursor.execute(f"PREPARE {name} ({parameters}) AS {text}")
        known.add(name)
