"""Everything that stands in a database, to prove that nothing changed."""

from services.plumbing.database import engine, transaction

# Rows as PostgreSQL writes them, by table: values made of them would take most of the time.
Contents = dict[str, list[str]]


def contents(url: str) -> Contents:
    """The rows of every table, by schema and name; a sequence's number is no content."""
    reading = engine(url, pool_size=1)
    try:
        with transaction(reading) as connection:
            tables = connection.exec_driver_sql(
                "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
                (),
            )
            names = list(tables.scalars())
            every_row = "coalesce(array_agg(t::text ORDER BY t::text), '{{}}') FROM {} t"
            rows = connection.exec_driver_sql(
                "SELECT " + ", ".join(f"(SELECT {every_row.format(name)})" for name in names)
            ).one()
            return dict(zip(names, rows, strict=True))
    finally:
        reading.dispose()
