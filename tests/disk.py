"""Database servers of tests that do not wait for the disk."""

import psycopg2
from sqlalchemy import make_url

SPARING = {
    "fsync": "off",
    "full_page_writes": "off",
    # What is only ever added to, no test reads often enough to be tidied up for that.
    "autovacuum_vacuum_insert_threshold": "-1",
}


def spare_the_disk(database_url: str) -> None:
    """Let a server's commits and copies not wait for the disk: nobody pulls this one's plug.

    What a process had committed outlives its being killed all the same.
    """
    for setting, value in SPARING.items():
        execute(database_url, f"ALTER SYSTEM SET {setting} = {value}")
    execute(database_url, "SELECT pg_reload_conf()")


def execute(database_url: str, statement: str) -> None:
    """Run a statement outside of a transaction, as making and dropping databases asks for."""
    url = make_url(database_url).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
