"""Reading through more rows than fit into memory, in one transaction."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

ROWS_PER_FETCH = 2_000


def stream(connection: Connection, statement: str) -> Iterator[Sequence[Any]]:
    """The rows of a statement, fetched as they are needed."""
    return iter(
        connection.exec_driver_sql(statement, execution_options={"yield_per": ROWS_PER_FETCH})
    )
