"""Events on their way in: applied once, in order, with poison put aside."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.plumbing.outbox import START, Event, Position

TABLES = """
    CREATE TABLE inbox (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        apply_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id)
    );
    CREATE TABLE inbox_cursors (
        consumer text NOT NULL,
        source text NOT NULL,
        stream text NOT NULL,
        xid xid8 NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (consumer, source, stream)
    );
    CREATE TABLE inbox_parked (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        type text NOT NULL,
        subject text NOT NULL,
        time timestamptz NOT NULL,
        data bytea NOT NULL,
        error text NOT NULL,
        park_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id)
    )"""


@contextmanager
def applied_once(
    engine: Engine, *, consumer: str, source: str, event_id: str
) -> Iterator[Connection | None]:
    """A transaction in which to apply an event, or None when it was applied before.

    The note that it was applied commits with what it did.
    """
    with transaction(engine) as connection:
        noted = connection.exec_driver_sql(
            "INSERT INTO inbox (consumer, source, event_id) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (consumer, source, event_id),
        )
        yield connection if noted.rowcount else None


def cursor(connection: Connection, *, consumer: str, source: str, stream: str) -> Position:
    """How far a consumer has read a source's stream."""
    row = connection.exec_driver_sql(
        "SELECT xid::text, position FROM inbox_cursors"
        " WHERE consumer = %s AND source = %s AND stream = %s",
        (consumer, source, stream),
    ).one_or_none()
    return Position(int(row[0]), row[1]) if row else START


def move_cursor(
    connection: Connection, *, consumer: str, source: str, stream: str, to: Position
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO inbox_cursors VALUES (%s, %s, %s, %s::xid8, %s)"
        " ON CONFLICT (consumer, source, stream)"
        " DO UPDATE SET xid = excluded.xid, position = excluded.position",
        (consumer, source, stream, str(to.xid), to.row),
    )


def park(connection: Connection, event: Event, *, consumer: str, source: str, error: str) -> None:
    """Put an event aside with the error it met, so that those behind it go on."""
    connection.exec_driver_sql(
        "INSERT INTO inbox_parked (consumer, source, event_id, type, subject, time, data, error)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (consumer, source, event.id, event.type, event.subject, event.time, event.data, error),
    )


def parked_count(connection: Connection) -> int:
    found: int = connection.exec_driver_sql("SELECT count(*) FROM inbox_parked").scalar_one()
    return found


def forget_before(connection: Connection, time: datetime) -> int:
    """Drop notes of events applied before a time; none older can come again. Returns how many."""
    return connection.exec_driver_sql("DELETE FROM inbox WHERE apply_time < %s", (time,)).rowcount
