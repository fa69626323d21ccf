"""Events on their way out.

Written in the transaction that made them true, read in the order of transactions without gaps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg2 import Binary
from sqlalchemy import Connection, Engine

from services.plumbing.database import database_is_away, transaction


@dataclass(frozen=True, slots=True)
class Event:
    """An event to announce. data is the serialized message that `type` names in full."""

    id: str
    type: str
    subject: str
    time: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands: the transaction and the row within it that it read last."""

    xid: int
    row: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it stands in an outbox."""

    position: Position
    event: Event


def create_table(schema: str) -> str:
    """The DDL of an outbox in a schema.

    A sequence hands out numbers before they commit, so "greater than the last number" loses events
    that commit late. The transaction's own number orders them, and nothing is read at or past the
    oldest one still running.
    """
    return f"""
        CREATE TABLE {schema}.outbox (
            position bigint GENERATED ALWAYS AS IDENTITY (CACHE 32),
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            id text NOT NULL,
            type text NOT NULL,
            subject text NOT NULL,
            time timestamptz NOT NULL,
            -- Serialized messages hardly shrink; trying to costs more than the bytes.
            data bytea STORAGE EXTERNAL NOT NULL,
            PRIMARY KEY (xid, position)
        )"""


def lock_subject(connection: Connection, subject: str) -> None:
    """Be the only one to announce about a subject until the connection's transaction ends.

    Before the transaction writes or locks anything else: it gets its number then, and events of one
    subject stand in the order they happened only where each number was given under this lock.
    SELECT ... FOR UPDATE will not do, as it can take a number and then wait again.
    """
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (subject,))


def append(connection: Connection, schema: str, events: Sequence[Event]) -> None:
    """Announce events, if there are any, when the connection's transaction commits."""
    if events:
        rows = ",".join(["(%s, %s, %s, %s, %s)"] * len(events))
        connection.exec_driver_sql(
            f"INSERT INTO {schema}.outbox (id, type, subject, time, data) VALUES {rows}",
            tuple(value for event in events for value in event_values(event)),
        )


def prepared_insertion(schema: str) -> tuple[str, str]:
    """Types and statement of an insertion of one event, for a session to prepare; event_values
    are its parameters.
    """
    return (
        "text, text, text, timestamptz, bytea",
        f"INSERT INTO {schema}.outbox (id, type, subject, time, data) VALUES ($1, $2, $3, $4, $5)",
    )


def event_values(event: Event) -> list[object]:
    return [event.id, event.type, event.subject, event.time, Binary(event.data)]


def read(connection: Connection, schema: str, after: Position, *, limit: int) -> list[Stored]:
    """The next events in commit order; only of transactions before which none still runs."""
    rows = connection.exec_driver_sql(
        f"SELECT xid::text, position, id, type, subject, time, data FROM {schema}.outbox"
        " WHERE (xid, position) > (%s::xid8, %s) AND xid < pg_snapshot_xmin(pg_current_snapshot())"
        # Qualified, for the bare name is the text in the list, which puts 1000 before 999.
        " ORDER BY outbox.xid, position LIMIT %s",
        (str(after.xid), after.row, limit),
    )
    return [
        Stored(Position(int(row[0]), row[1]), Event(row[2], row[3], row[4], row[5], bytes(row[6])))
        for row in rows
    ]


def newest_age_seconds(engine: Engine, schema: str) -> float:
    """How long ago the newest event was announced: zero for an empty outbox, not a number while the
    database is away.
    """
    query = (
        "SELECT coalesce(extract(epoch FROM now() - time), 0)::float"
        f" FROM {schema}.outbox ORDER BY xid DESC, position DESC LIMIT 1"
    )
    try:
        with transaction(engine) as connection:
            age: float | None = connection.exec_driver_sql(query).scalar_one_or_none()
    except Exception as error:
        # One metric that cannot be read must not hide all the others.
        if database_is_away(error):
            return math.nan
        raise
    return age or 0.0
