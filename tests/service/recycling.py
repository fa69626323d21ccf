"""Databases that a test has used, put back to what they were when they were made.

Copying a template takes PostgreSQL several times as long as emptying what a test has filled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from sqlalchemy import make_url

TABLES = """
    SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
SEQUENCES = """
    SELECT format('%I.%I', schemaname, sequencename), start_value, last_value FROM pg_sequences
    ORDER BY 1
"""
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# A database with more in it than can be looked at in this time is not worth putting back.
LOOK_MS = 2_000


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands in a database."""

    # A digest of each table's rows; None for an empty table.
    tables: dict[str, str | None]
    # The first number of each sequence, and the last that was given.
    sequences: dict[str, tuple[int, int | None]]


def original(url: str) -> Contents:
    """What stands in a database that no test has used."""
    with _cursor(url) as cursor:
        return _look(cursor)


def put_back(url: str, to: Contents) -> bool:
    """Empty what was empty. False where that will not do: the database is to be dropped."""
    try:
        with _cursor(url) as cursor:
            cursor.execute(END_OTHERS)
            found = _look(cursor)
            if found.tables.keys() != to.tables.keys():
                return False
            filled = [name for name, digest in found.tables.items() if digest != to.tables[name]]
            if any(to.tables[name] is not None for name in filled):
                return False
            _empty(cursor, filled)
            _rewind(cursor, found, to)
    except psycopg2.Error:
        return False
    return True


@contextmanager
def _cursor(url: str) -> Iterator[Any]:
    address = make_url(url).set(drivername="postgresql")
    connection = psycopg2.connect(address.render_as_string(hide_password=False))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {LOOK_MS}")
            yield cursor
    finally:
        connection.close()


def _look(cursor: Any) -> Contents:
    cursor.execute(TABLES)
    tables = [name for (name,) in cursor.fetchall()]
    digests: tuple[str | None, ...] = ()
    if tables:
        digest = "(SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {} t)"
        cursor.execute("SELECT " + ", ".join(digest.format(name) for name in tables))
        digests = cursor.fetchone()
    cursor.execute(SEQUENCES)
    sequences = {name: (first, last) for name, first, last in cursor.fetchall()}
    return Contents(dict(zip(tables, digests, strict=True)), sequences)


def _empty(cursor: Any, tables: list[str]) -> None:
    # Without the foreign keys' triggers, which would ask for an order.
    statements = ["SET session_replication_role = replica"]
    statements += [f"DELETE FROM {name}" for name in tables]
    cursor.execute("; ".join(statements))


def _rewind(cursor: Any, found: Contents, to: Contents) -> None:
    for name, (first, last) in to.sequences.items():
        if found.sequences[name] != (first, last):
            number, given = (first, False) if last is None else (last, True)
            cursor.execute("SELECT setval(%s, %s, %s)", (name, number, given))
