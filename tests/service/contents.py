"""Everything that stands in a database, to prove that nothing changed."""

from typing import Any

from services.plumbing.database import engine, transaction

Contents = dict[str, list[tuple[Any, ...]]]


def contents(url: str) -> Contents:
    """The rows of every table, by schema and name; a sequence's number is no content."""
    reading = engine(url, pool_size=1)
    try:
        with transaction(reading) as connection:
            tables = connection.exec_driver_sql(
                "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
                (),
            ).scalars()
            return {
                table: sorted(
                    map(tuple, connection.exec_driver_sql(f"SELECT * FROM {table}")), key=repr
                )
                for table in tables.all()
            }
    finally:
        reading.dispose()
