"""Events on their way out.

Written in the transaction that made them true, read in the order of their positions without gaps.
A position is given when an event is announced; whoever sees what another transaction did announces
after it. So events about a row that is locked stand in the order it was changed, whichever server
changed it and however long the others take to commit.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial

from sqlalchemy import Connection, Engine

from services.plumbing import doorbell
from services.plumbing.database import (
    after_commit,
    database_is_away,
    transaction,
)
from services.plumbing.prepared import Session, Statement

# Where a reader stands who has read nothing yet.
START = 0


@dataclass(frozen=True, slots=True)
class Event:
    """An event to announce. data is the serialized message that `type` names in full."""

    id: str
    type: str
    subject: str
    time: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it stands in an outbox."""

    position: int
    event: Event


def create_table(schema: str) -> str:
    """The DDL of an outbox in a schema, with the note of what was pruned from it."""
    return f"""
        CREATE TABLE {schema}.outbox (
            -- Never handed out in blocks: a session that keeps some for later would announce today
            -- under a number of yesterday.
            position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
            id text NOT NULL,
            type text NOT NULL,
            subject text NOT NULL,
            time timestamptz NOT NULL,
            -- Serialized messages hardly shrink; trying to costs more than the bytes.
            data bytea STORAGE EXTERNAL NOT NULL
        );
        {_pruning_table(schema)}"""


def _pruning_table(schema: str) -> str:
    return f"""
        CREATE TABLE {schema}.outbox_pruning (
            singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
            -- No event of before then need be here any more.
            before timestamptz NOT NULL
        )"""


def upgrade(connection: Connection, schema: str) -> None:
    """Bring an outbox of the first release, which was read by transaction numbers, to today's.

    Does nothing to one that is of today already.
    """
    columns = connection.exec_driver_sql(
        "SELECT count(*) FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'outbox' AND column_name = 'xid'",
        (schema,),
    ).scalar_one()
    if not columns:
        return
    table = f"{schema}.outbox"
    connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    sequence = connection.exec_driver_sql(
        "SELECT pg_get_serial_sequence(%s, 'position')", (table,)
    ).scalar_one()
    # Past the blocks that sessions still hold; a new sequence, so that they let go of them.
    after = connection.exec_driver_sql(f"SELECT last_value FROM {sequence}").scalar_one()
    connection.exec_driver_sql(
        f"""
        ALTER TABLE {table} DROP COLUMN xid, ALTER COLUMN position DROP IDENTITY;
        ALTER TABLE {table} ADD PRIMARY KEY (position),
            ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY (START {after + 1} CACHE 1);
        {_pruning_table(schema)}"""
    )


def lock_subject(connection: Connection, subject: str) -> None:
    """Be the only one to announce about a subject until the connection's transaction ends.

    For who changes no row in the order of which events could stand.
    """
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (subject,))


def append(connection: Connection, schema: str, events: Sequence[Event]) -> None:
    """Announce events, if there are any, when the connection's transaction commits.

    After whatever the events are about was locked.
    """
    if events:
        connection.exec_driver_sql(*_insertion(schema, events))
        database = str(connection.engine.url.database)
        after_commit(connection, f"ring {database}", partial(doorbell.ring, database))


def _insertion(schema: str, events: Sequence[Event]) -> tuple[str, tuple[object, ...]]:
    rows = ",".join(["(%s, %s, %s, %s, %s)"] * len(events))
    return (
        f"INSERT INTO {schema}.outbox (id, type, subject, time, data) VALUES {rows}",
        tuple(value for event in events for value in event_values(event)),
    )


@cache
def announcing(schema: str) -> Statement:
    """An insertion of one event; event_values are its parameters."""
    return Statement(
        f"announce_in_{schema}",
        "text, text, text, timestamptz, bytea",
        f"INSERT INTO {schema}.outbox (id, type, subject, time, data) VALUES ($1, $2, $3, $4, $5)",
    )


def announce_later(session: Session, schema: str, events: Sequence[Event]) -> None:
    """Announce events along with what a batch runs next. Whoever commits it rings the doorbell."""
    for event in events:
        announcing(schema).run_later(session, *event_values(event))


def event_values(event: Event) -> tuple[str, str, str, datetime, bytes]:
    return event.id, event.type, event.subject, event.time, event.data


class Reader:
    """Reads one outbox from position to position.

    A number that is missing may be one of a transaction that still runs. Whoever took it holds the
    table's lock for writers: when all who held it at a time after the gap was seen are gone, what
    is still missing never comes. Until then nothing behind the gap is read.
    """

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._next = Statement(
            f"next_of_{schema}",
            "bigint, bigint",
            f"SELECT position, id, type, subject, time, data FROM {schema}.outbox"
            " WHERE position > $1 ORDER BY position LIMIT $2",
        )
        # Who may still fill the gaps below a position.
        self._writers: frozenset[str] = frozenset()
        self._asked_below = START

    def read(self, connection: Connection, after: int, *, limit: int) -> list[Stored]:
        """The next events; the connection reads what is committed at each statement."""
        found = self._rows(connection, after, limit)
        whole = _without_gap(found, after, settled_below=START)
        if len(whole) == len(found):
            return whole
        if not self._writers or found[len(whole)].position > self._asked_below:
            self._writers = self._writing(connection)
            self._asked_below = found[-1].position
        else:
            self._writers &= self._writing(connection)
        if self._writers:
            return whole
        # What the last of them committed may have come after it was looked for.
        found = self._rows(connection, after, limit)
        return _without_gap(found, after, settled_below=self._asked_below)

    def _rows(self, connection: Connection, after: int, limit: int) -> list[Stored]:
        rows = self._next.run(connection, after, limit)
        return [
            Stored(row[0], Event(row[1], row[2], row[3], row[4], bytes(row[5]))) for row in rows
        ]

    def _writing(self, connection: Connection) -> frozenset[str]:
        rows = connection.exec_driver_sql(
            "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            f" AND relation = '{self._schema}.outbox'::regclass"
            " AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()"
        )
        return frozenset(rows.scalars())


def _without_gap(found: Sequence[Stored], after: int, *, settled_below: int) -> list[Stored]:
    """What stands before the first gap that may still be filled."""
    expected = after + 1
    for number, stored in enumerate(found):
        if stored.position > expected and stored.position > settled_below:
            return list(found[:number])
        expected = stored.position + 1
    return list(found)


def read(connection: Connection, schema: str, after: int, *, limit: int) -> list[Stored]:
    """The next events, for who asks once; stops before what a transaction may still fill in."""
    return Reader(schema).read(connection, after, limit=limit)


def newest(connection: Connection, schemas: Sequence[str]) -> dict[str, int]:
    """The last position of each outbox, be it behind a gap that may still be filled."""
    if not schemas:
        return {}
    (row,) = _newest(tuple(schemas)).run(connection, START)
    return {
        schema: START if position is None else position
        for schema, position in zip(schemas, row, strict=True)
    }


@cache
def _newest(schemas: tuple[str, ...]) -> Statement:
    """Asked hundreds of times a second: planning it costs more than the answer."""
    positions = ", ".join(
        f"(SELECT max(position) FROM {schema}.outbox WHERE position > $1)" for schema in schemas
    )
    name = hashlib.sha256(positions.encode()).hexdigest()[:16]
    return Statement(f"newest_{name}", "bigint", f"SELECT {positions}")


def streams(connection: Connection) -> list[str]:
    """The schemas of a database that hold an outbox."""
    rows = connection.exec_driver_sql(
        "SELECT schemaname FROM pg_tables WHERE tablename = 'outbox' ORDER BY schemaname"
    )
    return [row[0] for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What stands behind a position."""

    events: int
    oldest_seconds: float


# Beyond this many it no longer matters how many; counting stops.
EVENTS_COUNTED_MAX = 100_000


def waiting(connection: Connection, schema: str, after: int) -> Waiting:
    """How much stands behind a position, counted up to EVENTS_COUNTED_MAX."""
    events, oldest_seconds = connection.exec_driver_sql(
        "SELECT count(*), extract(epoch FROM clock_timestamp() - min(time))"
        f" FROM (SELECT time FROM {schema}.outbox WHERE position > %s"
        " ORDER BY position LIMIT %s) AS waiting",
        (after, EVENTS_COUNTED_MAX),
    ).one()
    return Waiting(events, round(max(float(oldest_seconds or 0), 0.0), 3))


@dataclass(frozen=True, slots=True)
class Origin:
    """Which outbox it is, and the last position it ever gave.

    A physical copy keeps the name; what was restored from a dump has another, for positions that
    were given after the dump was made are given again.
    """

    name: str
    last_position: int


def origin(connection: Connection, schema: str) -> Origin:
    table = f"{schema}.outbox"
    name, last = connection.exec_driver_sql(
        "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || %s::regclass::oid,"
        " coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'position')::regclass), 0)",
        (table, table),
    ).one()
    return Origin(name, last)


def prune(
    connection: Connection, schema: str, *, through: int, before: datetime, limit: int
) -> int:
    """Drop events up to a position that are older than a time. Returns how many."""
    connection.exec_driver_sql(
        f"INSERT INTO {schema}.outbox_pruning (before) VALUES (%s) ON CONFLICT (singleton)"
        " DO UPDATE SET before = greatest(outbox_pruning.before, excluded.before)",
        (before,),
    )
    return connection.exec_driver_sql(
        f"DELETE FROM {schema}.outbox WHERE position IN (SELECT position FROM {schema}.outbox"
        " WHERE position <= %s AND time < %s ORDER BY position LIMIT %s)",
        (through, before, limit),
    ).rowcount


def newest_age_seconds(engine: Engine, schema: str) -> float:
    """How long ago the newest event was announced: zero for an empty outbox, not a number while the
    database is away.
    """
    query = (
        "SELECT coalesce(extract(epoch FROM now() - time), 0)::float"
        f" FROM {schema}.outbox ORDER BY position DESC LIMIT 1"
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
